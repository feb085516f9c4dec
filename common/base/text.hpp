#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// Bytes of the UTF-8 sequence at the start of `text` (1 to 4), or 0 where it is
/// empty or not valid UTF-8 (RFC 3629: no surrogates, no overlong forms).
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

/// `text` as a JSON string literal, quotes included; bytes that are not UTF-8
/// become U+FFFD (RFC 8259 wants UTF-8).
std::string json_quote(std::string_view text);

/// `text` as one word of POSIX sh, in single quotes.
std::string shell_quote(std::string_view text);

/// An unsigned decimal without sign, blanks or anything after it; nothing where
/// it is not one or does not fit.
std::optional<std::uint64_t> parse_decimal(std::string_view text);

/// `4096`, `64K`, `2M`, `8G`, `1T` (powers of 1024, an optional `iB` or `B`).
std::optional<std::uint64_t> parse_size(std::string_view text);

/// `1 byte`, `810 bytes`.
std::string count_of_bytes(std::uint64_t count);
/// `1.50 GiB`, for people.
std::string format_size(std::uint64_t size_bytes);

/// ASCII letters in lower case, whatever the locale.
std::string lower_ascii(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);

/// Now, as RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
std::string utc_now_rfc3339();

/// Now, for file names: `20260131T120000Z`.
std::string utc_now_compact();

}  // namespace mad
