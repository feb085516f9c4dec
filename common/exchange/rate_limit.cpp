#include "exchange/rate_limit.hpp"

#include <algorithm>

#include "transport/retry.hpp"

namespace mad {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

RateLimit::RateLimit(std::uint64_t bytes_per_second)
    : bytes_per_second_(static_cast<double>(bytes_per_second)), paid_(Clock::now()) {}

void RateLimit::take(std::size_t bytes, const Stop* stop) {
  constexpr milliseconds k_saved(100);
  const duration<double> cost(static_cast<double>(bytes) / bytes_per_second_);
  const auto now = Clock::now();
  Clock::time_point until;
  {
    const std::lock_guard lock(mutex_);
    paid_ = std::max(paid_, now - k_saved) + duration_cast<Clock::duration>(cost);
    until = paid_;
  }
  const auto wait = duration_cast<milliseconds>(until - now);
  if (wait.count() > 0) interruptible_sleep(wait, stop);
}

}  // namespace mad
