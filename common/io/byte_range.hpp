#pragma once

#include <cstdint>

namespace mad {

/// [offset, end()) of a file or an object.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t end() const { return offset + length; }
};

}  // namespace mad
