#include "base/timestamp.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_nanosecond_digits = 9;

/// Takes `digits` digits and then `after` from the front.
std::optional<int> take_number(std::string_view& text, std::size_t digits, std::string_view after) {
  const auto number = parse_decimal(text.substr(0, digits));
  if (!number || text.size() < digits || text.substr(digits, after.size()) != after) {
    return std::nullopt;
  }
  text.remove_prefix(digits + after.size());
  return static_cast<int>(*number);
}

std::optional<std::int64_t> parse_offset(std::string_view text) {
  if (text == "Z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int sign = text[0] == '-' ? -1 : 1;
  text.remove_prefix(1);
  const auto hours = take_number(text, 2, ":");
  if (!hours) return std::nullopt;
  const auto minutes = take_number(text, 2, "");
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

}  // namespace

std::optional<Timestamp> parse_rfc3339(std::string_view text) {
  constexpr std::array<std::string_view, 6> k_after = {"-", "-", "T", ":", ":", ""};
  std::array<int, 6> fields{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto number = take_number(text, i == 0 ? 4 : 2, k_after[i]);
    if (!number) return std::nullopt;
    fields[i] = *number;
  }
  std::uint32_t nanoseconds = 0;
  if (!text.empty() && text[0] == '.') {
    const auto end = text.find_first_not_of("0123456789", 1);
    if (end == std::string_view::npos || end == 1) return std::nullopt;
    for (std::size_t i = 1; i <= k_nanosecond_digits; ++i) {
      nanoseconds = nanoseconds * 10 + (i < end ? static_cast<std::uint32_t>(text[i] - '0') : 0);
    }
    text.remove_prefix(end);
  }
  const auto offset = parse_offset(text);
  std::tm parts{};
  parts.tm_year = fields[0] - 1900;
  parts.tm_mon = fields[1] - 1;
  parts.tm_mday = fields[2];
  parts.tm_hour = fields[3];
  parts.tm_min = fields[4];
  parts.tm_sec = fields[5];
  const std::tm given = parts;
  const std::time_t time = timegm(&parts);
  // timegm turns 31 February into March; a leap second alone may move.
  if (!offset || fields[5] > 60 ||
      (fields[5] < 60 && (parts.tm_mon != given.tm_mon || parts.tm_mday != given.tm_mday ||
                          parts.tm_hour != given.tm_hour || parts.tm_min != given.tm_min))) {
    return std::nullopt;
  }
  return Timestamp{static_cast<std::int64_t>(time) - *offset, nanoseconds};
}

std::string format_rfc3339(std::int64_t seconds) {
  constexpr std::int64_t k_year_0 = -62'167'219'200;
  constexpr std::int64_t k_end_of_9999 = 253'402'300'799;
  const auto time = static_cast<std::time_t>(std::clamp(seconds, k_year_0, k_end_of_9999));
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  // %Y does not fill up years of fewer than four digits.
  const int year = parts.tm_year + 1900;
  std::strftime(text.data(), text.size(), "-%m-%dT%H:%M:%SZ", &parts);
  std::string digits = std::to_string(year);
  return digits.insert(0, 4 - digits.size(), '0') + text.data();
}

}  // namespace mad
