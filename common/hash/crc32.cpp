#include "hash/crc32.hpp"

#include <libdeflate.h>

namespace mad {

std::uint32_t crc32(std::uint32_t crc, Bytes bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace mad
