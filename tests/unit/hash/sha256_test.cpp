#include "hash/sha256.hpp"

#include <algorithm>

#include "hash/crc32.hpp"
#include "hash/nested_sha256.hpp"
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

  std::array<Sha256State, 3> together = {Sha256State{9, 8, 7, 6, 5, 4, 3, 2}, fast,
                                         Sha256State{0, 1, 0, 1, 0, 1, 0, 1}};
  const std::array<Sha256State*, 3> states = {&together[0], &together[1], &together[2]};
  for (std::size_t count = 1; count <= 3; ++count) {
    std::array<Sha256State, 3> alone = together;
    for (std::size_t i = 0; i < count; ++i) portable::sha256_blocks(alone[i], bytes.data(), 33);
    sha256_blocks_same(std::span(states).first(count), bytes.data(), 33);
    CHECK(together == alone);
  }
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

TEST_CASE("NestedSha256: gives the digests of the whole and of both sizes of pieces") {
  const auto bytes = counting_bytes(1000);
  const auto digests_of = [](Bytes all, std::size_t length) {
    std::vector<Digest> digests;
    for (; !all.empty(); all = all.subspan(std::min(length, all.size()))) {
      digests.push_back(Sha256::of(all.first(std::min(length, all.size()))));
    }
    return digests;
  };
  for (const auto& [inner, outer] : {std::pair{64, 64}, {64, 128}, {64, 192}, {128, 512}}) {
    for (const std::size_t length : {0U, 1U, 128U, 129U, 192U, 512U, 1000U}) {
      for (const std::size_t step : {1U, 13U, 64U, 100U, 1000U}) {
        const Bytes all = Bytes(bytes).first(length);
        NestedSha256 hash(inner, outer);
        for (std::size_t at = 0; at < length; at += step) {
          hash.update(all.subspan(at, std::min(step, length - at)));
          REQUIRE(hash.inner().size() == hash.length_bytes() / inner);
          REQUIRE(hash.outer().size() == hash.length_bytes() / outer);
        }
        REQUIRE(hash.finish() == Sha256::of(all));
        REQUIRE(hash.inner() == digests_of(all, inner));
        REQUIRE(hash.outer() == digests_of(all, outer));
      }
    }
  }
  CHECK_THROWS_AS(NestedSha256(64, 96), std::invalid_argument);
  CHECK_THROWS_AS(NestedSha256(100, 200), std::invalid_argument);
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
