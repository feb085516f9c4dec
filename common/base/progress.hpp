#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mad {

/// A line on standard error with rate and time left, for work that takes longer
/// than a second: `sim.npz  1.20 GiB of 2.00 GiB  60%  1.10 GiB/s  0:01 left`.
///
/// Says nothing where standard error is no terminal, with -q, or with
/// --log-format json.  At most one at a time; one thread at a time.
class Progress {
 public:
  /// `total_bytes` is absent where the length is not known in advance.
  Progress(const std::string& label, std::optional<std::uint64_t> total_bytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(std::uint64_t bytes);
  /// The stream began again, or its length became known.
  void restart(std::optional<std::uint64_t> total_bytes);

 private:
  void draw();

  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::optional<std::uint64_t> total_bytes_;
  std::uint64_t done_bytes_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_ = start_ + std::chrono::seconds(1);
  bool enabled_;
};

/// Erases the progress line, if one is drawn, before something else is written.
void clear_progress_line();

}  // namespace mad
