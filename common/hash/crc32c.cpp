#include "hash/crc32c.hpp"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mad {
namespace {

constexpr std::uint32_t k_reversed_polynomial = 0x82F63B78;
constexpr std::size_t k_slices = 8;

using CrcTables = std::array<std::array<std::uint32_t, 256>, k_slices>;

/// Table `n` is what a byte does to the CRC `n` bytes later.
constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? k_reversed_polynomial : 0);
    }
    tables[0][byte] = crc;
  }
  for (std::size_t n = 1; n < k_slices; ++n) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[n - 1][byte];
      tables[n][byte] = (before >> 8U) ^ tables[0][before & 0xFFU];
    }
  }
  return tables;
}

constexpr CrcTables k_tables = make_crc_tables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_x86(std::uint32_t crc, Bytes bytes) {
  std::uint64_t state = static_cast<std::uint32_t>(~crc);
  for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    state = _mm_crc32_u64(state, word);
  }
  auto rest = static_cast<std::uint32_t>(state);
  for (const std::byte byte : bytes) rest = _mm_crc32_u8(rest, static_cast<std::uint8_t>(byte));
  return ~rest;
}
#endif

}  // namespace

namespace portable {

std::uint32_t crc32c(std::uint32_t crc, Bytes bytes) {
  crc = ~crc;
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(bytes[i]); };
  for (; bytes.size() >= k_slices; bytes = bytes.subspan(k_slices)) {
    const std::uint32_t low = crc ^ (at(0) | at(1) << 8U | at(2) << 16U | at(3) << 24U);
    crc = k_tables[7][low & 0xFFU] ^ k_tables[6][low >> 8U & 0xFFU] ^
          k_tables[5][low >> 16U & 0xFFU] ^ k_tables[4][low >> 24U] ^ k_tables[3][at(4)] ^
          k_tables[2][at(5)] ^ k_tables[1][at(6)] ^ k_tables[0][at(7)];
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8U) ^ k_tables[0][(crc ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
  }
  return ~crc;
}

}  // namespace portable

std::uint32_t crc32c(std::uint32_t crc, Bytes bytes) {
#if defined(__x86_64__)
  static const bool present = __builtin_cpu_supports("sse4.2") != 0;
  if (present) return crc32c_x86(crc, bytes);
#endif
  return portable::crc32c(crc, bytes);
}

}  // namespace mad
