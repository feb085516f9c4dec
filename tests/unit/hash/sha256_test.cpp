#include "hash/sha256.hpp"

#include <algorithm>

#include "hash/crc32.hpp"
#include "hash/sha256_blocks.hpp"
#include "support/catch.hpp"

namespace mad {
namespace {

std::vector<std::byte> counting_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

// FIPS 180-4's examples, as NIST publishes them with their intermediate values.
TEST_CASE("Sha256: gives the digests of the standard's examples") {
  CHECK(to_hex(Sha256::of(as_bytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(Sha256::of({})) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(Sha256::of(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("Sha256: does not depend on how the bytes are cut") {
  const auto bytes = counting_bytes(1000);
  for (const std::size_t length : {0U, 1U, 55U, 56U, 63U, 64U, 65U, 119U, 120U, 128U, 1000U}) {
    const Bytes all = Bytes(bytes).first(length);
    for (const std::size_t step : {1U, 7U, 63U, 64U, 65U}) {
      Sha256 hash;
      for (std::size_t at = 0; at < length; at += step) {
        hash.update(all.subspan(at, std::min(step, length - at)));
      }
      REQUIRE(hash.finish() == Sha256::of(all));
    }
  }
}

TEST_CASE("sha256_blocks: the instructions and OpenSSL reach the same state") {
  const auto bytes = counting_bytes(64 * 33);
  Sha256State fast = {1, 2, 3, 4, 5, 6, 7, 0xffffffff};
  Sha256State slow = fast;
  sha256_blocks(fast, bytes.data(), 33);
  portable::sha256_blocks(slow, bytes.data(), 33);
  CHECK(fast == slow);

  Sha256State one = {9, 8, 7, 6, 5, 4, 3, 2};
  Sha256State two = fast;
  Sha256State one_alone = one;
  Sha256State two_alone = two;
  sha256_blocks_twin(one, two, bytes.data(), 33);
  portable::sha256_blocks(one_alone, bytes.data(), 33);
  portable::sha256_blocks(two_alone, bytes.data(), 33);
  CHECK(one == one_alone);
  CHECK(two == two_alone);
}

TEST_CASE("ChunkedSha256: gives the whole's digest and every chunk's, however the bytes are cut") {
  const auto bytes = counting_bytes(1000);
  for (const std::size_t length : {0U, 1U, 127U, 128U, 129U, 256U, 1000U}) {
    for (const std::size_t step : {1U, 13U, 64U, 100U, 1000U}) {
      const Bytes all = Bytes(bytes).first(length);
      ChunkedSha256 hash(128);
      for (std::size_t at = 0; at < length; at += step) {
        hash.update(all.subspan(at, std::min(step, length - at)));
      }
      REQUIRE(hash.finish() == Sha256::of(all));
      REQUIRE(hash.length_bytes() == length);
      REQUIRE(hash.chunks().size() == (length + 127) / 128);
      for (std::size_t i = 0; i < hash.chunks().size(); ++i) {
        const Bytes chunk = all.subspan(i * 128, std::min<std::size_t>(128, length - i * 128));
        REQUIRE(hash.chunks()[i] == Sha256::of(chunk));
      }
    }
  }
}

TEST_CASE("ChunkedSha256: without the chunks' digests the whole's is the same") {
  const auto bytes = counting_bytes(1000);
  ChunkedSha256 hash(128, ChunkDigests::unwanted);
  hash.update(Bytes(bytes).first(300));
  hash.update(Bytes(bytes).subspan(300));
  CHECK(hash.length_bytes() == 1000);
  CHECK(hash.finish() == Sha256::of(bytes));
  CHECK(hash.chunks().empty());
}

TEST_CASE("ChunkedSha256: refuses a chunk length that is no positive multiple of a block") {
  CHECK_THROWS_AS(ChunkedSha256(0), std::invalid_argument);
  CHECK_THROWS_AS(ChunkedSha256(100), std::invalid_argument);
}

TEST_CASE("chunk_bytes_for: grows from 4 to 16 MiB to keep the list short") {
  constexpr std::uint64_t k_mib = 1U << 20U;
  CHECK(chunk_bytes_for(0) == 4 * k_mib);
  CHECK(chunk_bytes_for(2048 * k_mib) == 4 * k_mib);
  CHECK(chunk_bytes_for(20 * 1024 * k_mib) == 8 * k_mib);
  CHECK(chunk_bytes_for(std::uint64_t{1} << 50U) == 16 * k_mib);
}

TEST_CASE("parse_hex_digest: takes 64 lower-case hex digits and nothing else") {
  const std::string good = to_hex(Sha256::of(as_bytes("abc")));
  CHECK(parse_hex_digest(good) == Sha256::of(as_bytes("abc")));
  std::string upper = good;
  upper[0] = 'B';
  CHECK_FALSE(parse_hex_digest(upper));
  CHECK_FALSE(parse_hex_digest(good.substr(1)));
  CHECK_FALSE(parse_hex_digest(good + "0"));
  CHECK_FALSE(parse_hex_digest("g" + good.substr(1)));
  CHECK_FALSE(parse_hex_digest(""));
}

// The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRCs.
TEST_CASE("crc32: gives the catalogue's check value, whole and in parts") {
  CHECK(crc32(0, as_bytes("123456789")) == 0xCBF43926U);
  CHECK(crc32(crc32(0, as_bytes("12345")), as_bytes("6789")) == 0xCBF43926U);
  CHECK(crc32(0, {}) == 0);
}

}  // namespace
}  // namespace mad
