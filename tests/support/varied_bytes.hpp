#pragma once

#include <cstddef>
#include <vector>

namespace mad::test {

/// Bytes of which no stretch is another one's repetition.
inline std::vector<std::byte> varied_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>((i * 2654435761U) >> 24U);
  }
  return bytes;
}

}  // namespace mad::test
