#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mad {

/// Where work stands against the time that is left.
struct Forecast {
  double needed_seconds = 0;
  double left_seconds = 0;
  bool fits() const { return needed_seconds <= left_seconds; }
  /// Fits twice: what was packed has still to be written and synced, and may be slower then.
  bool fits_twice() const { return needed_seconds * 2 <= left_seconds; }
};

/// Measures the rate of work and says, once it is known and whenever that changes, whether it
/// will be done before the deadline.  Says and measures nothing without one.  One thread.
class Pace {
 public:
  /// Of something of `size_bytes`, for which `work_bytes` have to be dealt with.
  Pace(const std::string& label, std::uint64_t size_bytes, std::uint64_t work_bytes);

  /// `bytes` more are dealt with.
  void add(std::uint64_t bytes);
  /// The work is another one now: what was measured is void.
  void restart(std::uint64_t left_bytes);
  /// At the rate of the last second; nothing before there is one.
  std::optional<Forecast> forecast() const { return forecast_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Mark {
    Clock::time_point time;
    std::uint64_t done_bytes = 0;
  };
  void look(Clock::time_point now);
  void say(double bytes_per_second);

  std::string label_;
  std::uint64_t size_bytes_;
  std::uint64_t work_bytes_;
  std::uint64_t left_bytes_;
  bool enabled_;
  std::uint64_t done_bytes_ = 0;
  /// The rate is measured since `older_`; `newer_` takes its place later.
  std::optional<Mark> older_;
  Mark newer_;
  Clock::time_point next_look_;
  std::optional<Forecast> forecast_;
  std::optional<bool> said_fits_;
  Clock::time_point said_at_;
};

}  // namespace mad
