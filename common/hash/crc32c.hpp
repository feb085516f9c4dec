#pragma once

#include <cstdint>

#include "io/fd.hpp"

namespace mad {

/// Castagnoli's CRC-32 (RFC 3720, 12.1), continued from `crc`, which starts at 0: what
/// Google's store keeps of every object.  With SSE 4.2's instruction where there is one.
std::uint32_t crc32c(std::uint32_t crc, Bytes bytes);

namespace portable {
std::uint32_t crc32c(std::uint32_t crc, Bytes bytes);
}

}  // namespace mad
