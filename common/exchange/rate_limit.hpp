#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "transport/stop.hpp"

namespace mad {

/// A bound on the bytes a second that all the threads which share it may take together: a
/// token bucket that holds a tenth of a second.
class RateLimit {
 public:
  explicit RateLimit(std::uint64_t bytes_per_second);

  /// Returns once `bytes` more are within the bound.  A signal ends the wait
  /// (Interrupted), and so does `stop`, where there is one (Stopped).
  void take(std::size_t bytes, const Stop* stop);

 private:
  using Clock = std::chrono::steady_clock;
  double bytes_per_second_;
  std::mutex mutex_;
  /// When all that was taken so far is within the bound.
  Clock::time_point paid_;
};

}  // namespace mad
