#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "transport/stop.hpp"

namespace mad {

struct RetryPolicy {
  /// Attempts after the first that may follow one another without progress.
  unsigned retries = 6;
  /// How long such a row of attempts may take after the first of its failures, waits included.
  std::chrono::milliseconds budget{180'000};
  /// The bound of the first wait; it doubles with each attempt, to 30 seconds.
  std::chrono::milliseconds first_delay{500};
};

/// Decides whether a transient failure is tried again, and waits before it is:
/// exponential backoff with full jitter, so that a fleet that lost its server
/// together does not come back together.
class Retrier {
 public:
  /// `stop`, where there is one, outlives it.
  explicit Retrier(const RetryPolicy& policy, const Stop* stop = nullptr)
      : policy_(policy), stop_(stop) {}

  /// Something new arrived: the row of failures ends.
  void progress();

  /// Waits and returns, or throws `failure` where the retries or the budget are used
  /// up, or the server's Retry-After is longer than what is left of it.  A signal
  /// ends the wait (Interrupted), and so does `stop` (Stopped).
  void wait_or_throw(const Error& failure, std::optional<std::chrono::seconds> retry_after);

  unsigned total_retries() const { return total_; }

 private:
  using Clock = std::chrono::steady_clock;
  RetryPolicy policy_;
  const Stop* stop_;
  unsigned in_row_ = 0;
  unsigned total_ = 0;
  /// The first failure of the row.
  Clock::time_point row_start_;
};

/// Waits; a signal ends it (Interrupted), and so does `stop` (Stopped).
void interruptible_sleep(std::chrono::milliseconds time, const Stop* stop = nullptr);

/// Uniform in [0, `bound`].  Thread-safe.
std::chrono::milliseconds jitter(std::chrono::milliseconds bound);

/// A Retry-After value: seconds or an HTTP-date (RFC 9110, 10.2.3), counted from `now`
/// (seconds since the epoch).  Nothing where it is neither; a date past is 0.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, std::int64_t now);

/// An HTTP-date in the form RFC 9110 prefers (IMF-fixdate), in seconds since the epoch.
std::optional<std::int64_t> parse_http_date(std::string_view value);

}  // namespace mad
