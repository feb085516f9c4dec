#pragma once

#include <cstdint>
#include <string>

#include "io/fd.hpp"

namespace mad {

/// ZIP's CRC-32 (APPNOTE 4.4.7), continued from `crc`, which starts at 0.
/// libdeflate's carry-less multiplication: several times zlib's rate.
std::uint32_t crc32(std::uint32_t crc, Bytes bytes);

/// 8 lower-case hex digits.
std::string format_crc32(std::uint32_t value);

}  // namespace mad
