#include "snapshot/pace.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// From here on a rate is one; a tenth of the time that is left, where that is shorter.
constexpr nanoseconds k_first_look = milliseconds(250);
constexpr nanoseconds k_between_looks = milliseconds(50);
constexpr std::uint64_t k_first_bytes = 65536;

nanoseconds first_look() {
  return std::min(k_first_look, std::max(nanoseconds(0), time_left().value_or(k_first_look) / 10));
}

std::string format_tenths(double seconds) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  return text.data();
}

}  // namespace

Forecast make_forecast(std::uint64_t done_bytes, std::uint64_t left_bytes, double elapsed_seconds,
                       double left_seconds) {
  Forecast forecast;
  forecast.bytes_per_second = static_cast<double>(done_bytes) / std::max(elapsed_seconds, 1e-9);
  forecast.needed_seconds = static_cast<double>(left_bytes) / forecast.bytes_per_second;
  forecast.left_seconds = left_seconds;
  return forecast;
}

Pace::Pace(const std::string& label, std::uint64_t total_bytes)
    : label_(printable(label)), enabled_(has_deadline()), left_bytes_(total_bytes) {}

void Pace::restart(std::uint64_t left_bytes) {
  done_bytes_ = 0;
  left_bytes_ = left_bytes;
  start_.reset();
  forecast_.reset();
}

void Pace::add(std::uint64_t bytes) {
  if (!enabled_) return;
  done_bytes_ += bytes;
  left_bytes_ -= std::min(left_bytes_, bytes);
  const auto now = Clock::now();
  if (!start_) {
    // What is done before the first of them, such as the CRC of a whole array, is no rate.
    if (done_bytes_ < k_first_bytes) return;
    start_ = now;
    next_look_ = now + first_look();
    done_bytes_ = 0;
  } else if (now >= next_look_ && done_bytes_ > 0) {
    look(now);
  }
}

void Pace::look(Clock::time_point now) {
  next_look_ = now + k_between_looks;
  const auto seconds = [](nanoseconds time) { return std::chrono::duration<double>(time).count(); };
  forecast_ = make_forecast(done_bytes_, left_bytes_, seconds(now - *start_),
                            seconds(time_left().value_or(nanoseconds(0))));
  if (said_fits_ != forecast_->fits()) say();
}

void Pace::say() {
  said_fits_ = forecast_->fits();
  const std::string line = label_ + ": " + format_size(left_bytes_) + " to go at " +
                           format_size(static_cast<std::uint64_t>(forecast_->bytes_per_second)) +
                           "/s: " + format_tenths(forecast_->needed_seconds);
  const std::string left = format_tenths(forecast_->left_seconds) + " that are left";
  if (*said_fits_) {
    log_note(line + " of the " + left);
  } else {
    log_warning(line + ", more than the " + left);
  }
}

}  // namespace mad
