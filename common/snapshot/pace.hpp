#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mad {

/// Where work stands against the time that is left.
struct Forecast {
  double bytes_per_second = 0;
  double needed_seconds = 0;
  double left_seconds = 0;
  bool fits() const { return needed_seconds <= left_seconds; }
  /// Fits with a third to spare, for what is slower later and for the sync at the end.
  bool fits_well() const { return needed_seconds * 1.5 <= left_seconds; }
};

/// `done_bytes`, more than none, in `elapsed_seconds`; the rest at the same rate.
Forecast make_forecast(std::uint64_t done_bytes, std::uint64_t left_bytes, double elapsed_seconds,
                       double left_seconds);

/// Measures the rate of work and says, once it is known and whenever that changes, whether it
/// will be done before the deadline.  Says and measures nothing without one.  One thread.
class Pace {
 public:
  Pace(const std::string& label, std::uint64_t total_bytes);

  /// `bytes` more are done.
  void add(std::uint64_t bytes);
  /// Nothing before the rate is known.
  std::optional<Forecast> forecast() const { return forecast_; }
  /// The work is another one now: what was measured is void.
  void restart(std::uint64_t left_bytes);

 private:
  using Clock = std::chrono::steady_clock;
  void look(Clock::time_point now);
  void say();

  std::string label_;
  bool enabled_;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t left_bytes_;
  std::optional<Clock::time_point> start_;
  Clock::time_point next_look_;
  std::optional<Forecast> forecast_;
  std::optional<bool> said_fits_;
};

}  // namespace mad
