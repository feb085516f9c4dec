#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/source.hpp"
#include "resume/outcome.hpp"

namespace mad {

struct ResumeOptions {
  /// Where the snapshot is published, and the directory that gets its arrays.  With
  /// neither, a fresh directory for the snapshot (stage_in_fresh_directory).
  std::optional<std::string> snapshot;
  std::optional<std::string> state;
  /// What --expect names; else the arrays that are in `state` already.
  std::optional<std::string> expect;
  bool accept_unverified = false;
  std::uint64_t max_bytes = std::uint64_t{1} << 46U;
  Durability durability = Durability::full;
  int lock_timeout_ms = 30'000;
};

/// Refuses, as usage, a snapshot that would lie inside the state directory.
void check_places(const ResumeOptions& options);

/// Takes a bundle and delivers what it holds.
///
/// First, whatever the bundle says: a swap of the state that was interrupted is rolled
/// back, and what dead runs left is removed.  Then the npz is staged; nothing of it is
/// parsed or published before a seal of the stage `verified`.  Then everything is checked
/// and unpacked, the snapshot published, the state swapped, in this order: where the last
/// step fails, the state is as it was, and a whole new snapshot lies at its path.
///
/// Every Error ends up in the outcome, and so does the deadline, which bounds neither the
/// recovery nor the swap.  `obstacle` is one that was met before, which lets
/// nothing but the recovery happen.  Throws Interrupted.
Outcome resume(const ResumeOptions& options, Source& bundle, const std::optional<Error>& obstacle);

}  // namespace mad
