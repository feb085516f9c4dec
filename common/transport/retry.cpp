#include "transport/retry.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <random>
#include <string>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds k_longest_delay{30'000};

std::string format_seconds(milliseconds time) {
  const auto tenths = (time.count() + 50) / 100;
  return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " s";
}

}  // namespace

void Retrier::progress() {
  in_row_ = 0;
}

void Retrier::wait_or_throw(const Error& failure, std::optional<seconds> retry_after) {
  const auto now = Clock::now();
  if (in_row_ == 0) row_start_ = now;
  const auto spent = std::chrono::duration_cast<milliseconds>(now - row_start_);
  const auto left = policy_.budget - spent;
  const auto give_up = [&](const std::string& why) {
    Error last = failure;
    throw Error(last.code, last.reason, last.subject, last.message + "\n" + why, last.hint);
  };
  if (in_row_ >= policy_.retries) {
    if (policy_.retries == 0) throw Error(failure);
    give_up("gave up after " + std::to_string(in_row_ + 1) + " attempts");
  }
  const auto bound =
      std::min(k_longest_delay, policy_.first_delay * (std::int64_t{1} << std::min(in_row_, 16U)));
  milliseconds delay = jitter(bound);
  if (retry_after) delay = std::max<milliseconds>(delay, *retry_after);
  if (delay > left) {
    give_up(retry_after && *retry_after > left
                ? "the server asks to wait " + std::to_string(retry_after->count()) +
                      " s, longer than the retry budget leaves"
                : "gave up after " + format_seconds(spent) + ", the retry budget");
  }
  ++in_row_;
  ++total_;
  log_note(failure.one_line() + "; trying again in " + format_seconds(delay));
  interruptible_sleep(delay, stop_);
}

void interruptible_sleep(milliseconds time, const Stop* stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    check_interrupted();
    if (stop != nullptr) stop->check();
    const auto left =
        std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    std::array<pollfd, 2> wake = {pollfd{interrupt_fd(), POLLIN, 0},
                                  pollfd{stop == nullptr ? -1 : stop->fd(), POLLIN, 0}};
    poll(wake.data(), wake.size(),
         static_cast<int>(std::min<std::int64_t>(left.count() + 1, 60'000)));
  }
}

milliseconds jitter(milliseconds bound) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return milliseconds(std::uniform_int_distribution<std::int64_t>(
      0, std::max<std::int64_t>(bound.count(), 0))(generator));
}

std::optional<std::int64_t> parse_http_date(std::string_view value) {
  std::tm parts{};
  const std::string text(value);
  const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&parts);
}

std::optional<seconds> parse_retry_after(std::string_view value, std::int64_t now) {
  constexpr std::int64_t k_most = 1'000'000'000;
  if (const auto number = parse_decimal(value)) {
    return seconds(static_cast<std::int64_t>(std::min<std::uint64_t>(*number, k_most)));
  }
  const auto date = parse_http_date(value);
  if (!date) return std::nullopt;
  return seconds(std::clamp<std::int64_t>(*date - now, 0, k_most));
}

}  // namespace mad
