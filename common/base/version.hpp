#pragma once

namespace mad {

/// The toolkit's version; CMake's project(VERSION).
inline constexpr const char* k_version = MAD_VERSION;

}  // namespace mad
