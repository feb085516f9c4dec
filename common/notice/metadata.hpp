#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "credentials/surroundings.hpp"
#include "notice/feed.hpp"

namespace mad {

/// What all metadata services have in common.

/// Where they are unless somebody says otherwise.  An address, so that no name has to be
/// resolved on a machine that boots, or that is not in the cloud at all.
inline constexpr const char* k_metadata_address = "http://169.254.169.254";

/// Answers come in milliseconds; a service that hangs must not hide a notice for long.
inline constexpr std::chrono::milliseconds k_metadata_timeout{2000};

struct NoticeSettings {
  /// Of the metadata service, without a slash at its end; empty: the cloud's own.
  std::string endpoint;
  /// Between an answer and the next question; 0: as is usual for the cloud.
  std::chrono::milliseconds interval{0};
  /// This machine's name among Azure's Resources; empty: as its metadata have it.
  std::string vm_name;
};

/// A question that is never asked by way of a proxy.
HttpAsk metadata_ask(std::string url, std::chrono::milliseconds timeout = k_metadata_timeout);

/// An answer, and how far the clock of whoever gave it is ahead of this machine's.
struct TimedAnswer {
  HttpAnswer answer;
  std::int64_t clock_ahead_s = 0;
};

/// What the Date of an answer (RFC 9110) says of its clock: one that lies within the exchange,
/// give or take a second, agrees with ours.
std::int64_t clock_ahead_s(const HttpAnswer& answer, std::int64_t asked_at,
                           std::int64_t answered_at);

/// Calls `ask`, which gives an HttpAnswer, and compares the clocks.
template <class Ask>
TimedAnswer timed(const Surroundings& surroundings, const Ask& ask) {
  const std::int64_t asked_at = surroundings.now();
  TimedAnswer timed{ask(), 0};
  timed.clock_ahead_s = clock_ahead_s(timed.answer, asked_at, surroundings.now());
  return timed;
}

}  // namespace mad
