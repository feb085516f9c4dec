#include "hash/threaded_sha256.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/varied_bytes.hpp"

namespace mad::test {
namespace {

void feed(ThreadedSha256& hash, Bytes bytes, std::size_t portion) {
  while (!bytes.empty()) {
    const MutableBytes room = hash.room();
    const std::size_t n = std::min({room.size(), bytes.size(), portion});
    std::copy_n(bytes.begin(), n, room.begin());
    hash.filled(n);
    bytes = bytes.subspan(n);
  }
  hash.finish();
}

}  // namespace

TEST_CASE("ThreadedSha256: gives ChunkedSha256's digests, whoever digests the chunks") {
  constexpr std::size_t k_mib = std::size_t{1} << 20U;
  const auto bytes = varied_bytes(37 * k_mib + 12'345);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{1}, k_mib, 9 * k_mib, bytes.size()}) {
    for (const Producer producer : {Producer::only_fills, Producer::helps}) {
      // The last is no multiple of a buffer.
      for (const std::uint64_t chunk_bytes :
           {std::uint64_t{k_mib}, 4 * std::uint64_t{k_mib}, std::uint64_t{64} * 999}) {
        const Bytes all = Bytes(bytes).first(length);
        ChunkedSha256 expected(chunk_bytes);
        expected.update(all);
        ThreadedSha256 hash(chunk_bytes, producer);
        feed(hash, all, 200'000);
        REQUIRE(hash.sha256() == expected.finish());
        REQUIRE(hash.chunks() == expected.chunks());
        REQUIRE(hash.size_bytes() == length);
      }
    }
  }
}

TEST_CASE("ThreadedSha256: without chunks gives the whole's digest alone") {
  const auto bytes = varied_bytes(5'000'000);
  ThreadedSha256 hash(0, Producer::helps);
  feed(hash, bytes, 1'000'000);
  CHECK(hash.sha256() == Sha256::of(bytes));
  CHECK(hash.chunks().empty());
}

TEST_CASE("ThreadedSha256: ends its thread where it is given up in the middle") {
  ThreadedSha256 hash(64);
  hash.room();
  hash.filled(1000);
}

TEST_CASE("ChunkedSha256: keeps a place for each chunk that somebody else digests") {
  const auto bytes = varied_bytes(1000);
  ChunkedSha256 hash(256);
  hash.update(Bytes(bytes).first(256));
  hash.update_whole_only(Bytes(bytes).subspan(256, 300));
  hash.update_whole_only(Bytes(bytes).subspan(556, 212));
  hash.update(Bytes(bytes).subspan(768));
  CHECK(hash.finish() == Sha256::of(bytes));
  REQUIRE(hash.chunks().size() == 4);
  CHECK(hash.chunks()[3] == Sha256::of(Bytes(bytes).subspan(768)));
  hash.set_chunk(1, Sha256::of(Bytes(bytes).subspan(256, 256)));
  CHECK(hash.chunks()[1] == Sha256::of(Bytes(bytes).subspan(256, 256)));
}

TEST_CASE("Sha256::update_each: is an update of each, however many and whatever their lengths") {
  const auto bytes = varied_bytes(4000);
  for (std::size_t count = 0; count <= Sha256::k_most_lanes; ++count) {
    for (const std::size_t length : {0U, 1U, 64U, 100U, 640U}) {
      for (const std::size_t shorter : {0U, 1U, 64U, 300U}) {
        std::vector<Sha256> together(count);
        std::vector<Sha256> alone(count);
        std::vector<Sha256*> hashes;
        std::vector<Bytes> each;
        for (std::size_t i = 0; i < count; ++i) {
          const std::size_t own = i + 1 == count ? length - std::min(length, shorter) : length;
          hashes.push_back(&together[i]);
          each.push_back(Bytes(bytes).subspan(97 * i, own));
        }
        for (int round = 0; round < 3; ++round) {
          Sha256::update_each(hashes, each);
          for (std::size_t i = 0; i < count; ++i) alone[i].update(each[i]);
        }
        for (std::size_t i = 0; i < count; ++i) REQUIRE(together[i].finish() == alone[i].finish());
      }
    }
  }
}

}  // namespace mad::test
