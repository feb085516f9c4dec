#pragma once

#include <array>
#include <cstdint>

#include "io/fd.hpp"

namespace mad {

/// MD5 (RFC 1321): for Content-MD5 and ETags, against damage and nothing more.
using Md5 = std::array<std::uint8_t, 16>;

Md5 md5_of(Bytes bytes);

}  // namespace mad
