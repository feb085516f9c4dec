#pragma once

// Catch2 v3 where there is one, else v2.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

#include "base/error.hpp"

namespace mad::test {

/// Runs `action`, which must throw mad::Error, and returns that for a look at its
/// code, reason, subject and message.
template <class Action>
Error error_from(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected a mad::Error, found none");
  throw 0;
}

}  // namespace mad::test
