#include "credentials/time.hpp"

#include <array>
#include <cstdio>
#include <ctime>

#include "base/timestamp.hpp"

namespace mad {
namespace {

std::tm utc_parts(std::int64_t time) {
  const auto seconds = static_cast<std::time_t>(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  const auto parsed = parse_rfc3339(text);
  return parsed ? std::optional(parsed->seconds) : std::nullopt;
}

std::string format_basic_time(std::int64_t time) {
  const std::tm parts = utc_parts(time);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return text.data();
}

std::string format_http_date(std::int64_t time) {
  // Not strftime: its names follow the locale.
  constexpr std::array<const char*, 7> k_days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> k_months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm parts = utc_parts(time);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                k_days[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                k_months[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900,
                parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text.data();
}

}  // namespace mad
