#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mad {

/// Times are seconds since the epoch.  These give nothing, or throw nothing, beyond
/// years of four digits.

/// `2014-10-24T23:00:23Z`, with a fraction (dropped) or a numeric offset too.
std::optional<std::int64_t> parse_timestamp(std::string_view text);
/// `20130524T000000Z`, as x-amz-date has it.
std::string format_basic_time(std::int64_t time);
/// `Fri, 24 May 2013 00:00:00 GMT` (RFC 9110's IMF-fixdate), as x-ms-date has it.
std::string format_http_date(std::int64_t time);

}  // namespace mad
