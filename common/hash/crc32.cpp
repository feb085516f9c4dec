#include "hash/crc32.hpp"

#include <libdeflate.h>

#include <string_view>

namespace mad {

std::uint32_t crc32(std::uint32_t crc, Bytes bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

std::string format_crc32(std::uint32_t value) {
  constexpr std::string_view k_digits = "0123456789abcdef";
  std::string text;
  for (unsigned shift = 32; shift > 0;) {
    shift -= 4;
    text += k_digits[value >> shift & 15U];
  }
  return text;
}

}  // namespace mad
