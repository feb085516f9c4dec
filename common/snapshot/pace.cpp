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
constexpr nanoseconds k_between_marks = milliseconds(500);
constexpr nanoseconds k_between_words = milliseconds(1000);

nanoseconds left_now() {
  return std::max(nanoseconds(0), time_left().value_or(nanoseconds(0)));
}

double seconds(nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

std::string format_tenths(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", value);
  return text.data();
}

}  // namespace

Pace::Pace(const std::string& label, std::uint64_t size_bytes, std::uint64_t work_bytes)
    : label_(printable(label)),
      size_bytes_(size_bytes),
      work_bytes_(work_bytes),
      left_bytes_(work_bytes),
      enabled_(has_deadline() && size_bytes > 0) {}

void Pace::restart(std::uint64_t left_bytes) {
  left_bytes_ = left_bytes;
  work_bytes_ = std::max(work_bytes_, left_bytes);
  older_.reset();
  forecast_.reset();
}

void Pace::add(std::uint64_t bytes) {
  if (!enabled_) return;
  done_bytes_ += bytes;
  left_bytes_ -= std::min(left_bytes_, bytes);
  const auto now = Clock::now();
  if (!older_) {
    older_ = newer_ = {now, done_bytes_};
    next_look_ = now + std::min(k_first_look, left_now() / 10);
  } else if (now >= next_look_ && done_bytes_ > older_->done_bytes) {
    look(now);
  }
}

void Pace::look(Clock::time_point now) {
  const double rate = static_cast<double>(done_bytes_ - older_->done_bytes) /
                      std::max(seconds(now - older_->time), 1e-9);
  forecast_ = {static_cast<double>(left_bytes_) / rate, seconds(left_now())};
  if (said_fits_ != forecast_->fits() && (!said_fits_ || now - said_at_ >= k_between_words)) {
    said_at_ = now;
    say(rate);
  }
  next_look_ = now + k_between_looks;
  if (now - newer_.time < k_between_marks) return;
  older_ = newer_;
  newer_ = {now, done_bytes_};
}

void Pace::say(double bytes_per_second) {
  said_fits_ = forecast_->fits();
  const double share = static_cast<double>(size_bytes_) / static_cast<double>(work_bytes_);
  const std::string line = label_ + ": " + format_size(size_bytes_) + " at " +
                           format_size(static_cast<std::uint64_t>(bytes_per_second * share)) +
                           "/s: " + format_tenths(forecast_->needed_seconds) + " to go";
  const std::string left = format_tenths(forecast_->left_seconds) + " that are left";
  if (*said_fits_) {
    log_note(line + " of the " + left);
  } else {
    log_warning(line + ", more than the " + left);
  }
}

}  // namespace mad
