#pragma once

#include <atomic>

#include "io/fd.hpp"

namespace mad {

/// Thrown out of a call that Stop ended.  Deliberately not a std::exception, like
/// Interrupted: only the one who asked for it may swallow it.
struct Stopped {};

/// Ends the calls that other threads have under way, where one thread's failure makes
/// their work worthless, at once instead of at their next byte.  Thread-safe.
class Stop {
 public:
  Stop();
  /// Every call that knows this Stop throws Stopped from now on.
  void request() noexcept;
  /// Calls may be made again; once no thread is in one.
  void clear() noexcept;
  /// Throws Stopped.
  void check() const {
    if (requested_) throw Stopped{};
  }
  bool requested() const { return requested_; }
  /// Polls readable while a stop is requested; never read it.
  int fd() const { return event_.get(); }

 private:
  Fd event_;
  std::atomic<bool> requested_ = false;
};

}  // namespace mad
