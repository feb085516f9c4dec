#include "hash/crc32c.hpp"

#include <string>

#include "support/catch.hpp"

namespace mad {
namespace {

using Crc32c = std::uint32_t (*)(std::uint32_t crc, Bytes bytes);

std::string crc_noise(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>(i * 7 + i / 251);
  return bytes;
}

// RFC 3720, B.4, and the check value of the catalogue of parametrised CRCs.
TEST_CASE("crc32c: gives the known answers, with the instruction and without") {
  for (const Crc32c crc : {Crc32c{crc32c}, Crc32c{portable::crc32c}}) {
    CHECK(crc(0, {}) == 0);
    CHECK(crc(0, as_bytes("123456789")) == 0xE3069283);
    CHECK(crc(0, as_bytes(std::string(32, '\0'))) == 0x8A9136AA);
    CHECK(crc(0, as_bytes(std::string(32, '\xFF'))) == 0x62A8AB43);
  }
}

TEST_CASE("crc32c: does not depend on how the bytes are cut or aligned") {
  const std::string bytes = crc_noise(1000);
  const std::uint32_t all = portable::crc32c(0, as_bytes(bytes));
  for (std::size_t cut = 0; cut <= 40; ++cut) {
    const auto one = as_bytes(bytes).first(cut);
    const auto two = as_bytes(bytes).subspan(cut);
    REQUIRE(crc32c(crc32c(0, one), two) == all);
    REQUIRE(portable::crc32c(portable::crc32c(0, one), two) == all);
  }
}

}  // namespace
}  // namespace mad
