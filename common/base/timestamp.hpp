#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace mad {

/// A moment, in seconds since the epoch and what comes after them.
struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

inline bool operator<(const Timestamp& a, const Timestamp& b) {
  return std::tie(a.seconds, a.nanoseconds) < std::tie(b.seconds, b.nanoseconds);
}

/// `2014-10-24T23:00:23Z`, with a fraction (to the nanosecond) or a numeric offset too
/// (RFC 3339).  Nothing where it is none, such as on 31 February.
std::optional<Timestamp> parse_rfc3339(std::string_view text);

/// `2014-10-24T23:00:23Z`; of a moment before the year 0 or after 9999, the nearest.
std::string format_rfc3339(std::int64_t seconds);

}  // namespace mad
