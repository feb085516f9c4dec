#include "hash/chunk_digests.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/varied_bytes.hpp"

namespace mad::test {
namespace {

std::vector<Digest> one_by_one(Bytes bytes, std::uint64_t chunk_bytes) {
  ChunkedSha256 hash(chunk_bytes);
  hash.update(bytes);
  hash.finish();
  return hash.chunks();
}

constexpr std::uint64_t k_small_chunk = 4096;
constexpr std::uint64_t k_odd_chunk = 64 * 3001;

}  // namespace

TEST_CASE("digest_chunks: gives what one pass over the whole gives") {
  const auto bytes = varied_bytes(1'000'001);
  for (const std::size_t length : {0U, 1U, 4096U, 4097U, 8192U, 1'000'001U}) {
    for (const std::uint64_t chunk_bytes : {k_small_chunk, k_odd_chunk}) {
      const Bytes some = Bytes(bytes).first(length);
      REQUIRE(digest_chunks(some, chunk_bytes) == one_by_one(some, chunk_bytes));
    }
  }
}

TEST_CASE("digest_file_chunks: gives the same, whatever the number of threads") {
  const auto bytes = varied_bytes(1'000'001);
  const Fd file = open_unnamed_file("");
  write_full(file.get(), bytes, "file");
  for (const std::uint64_t chunk_bytes : {k_small_chunk, k_odd_chunk, std::uint64_t{1} << 21U}) {
    for (const unsigned threads : {1U, 2U, 7U}) {
      std::uint64_t seen = 0;
      const auto digests = digest_file_chunks(
          file.get(), bytes.size(), chunk_bytes, threads,
          [&](std::uint64_t count) { seen += count; }, "file");
      REQUIRE(digests == one_by_one(bytes, chunk_bytes));
      REQUIRE(seen == bytes.size());
    }
  }
}

TEST_CASE("digest_file_chunks: of a file cut short meanwhile, digests are of what is there") {
  const auto bytes = varied_bytes(10'000);
  const Fd file = open_unnamed_file("");
  write_full(file.get(), bytes, "file");
  const auto digests = digest_file_chunks(
      file.get(), 20'000, k_small_chunk, 2, [](std::uint64_t) {}, "file");
  REQUIRE(digests.size() == 5);
  CHECK(digests[2] == Sha256::of(Bytes(bytes).subspan(8192)));
  CHECK(digests[3] == Sha256::of({}));
}

TEST_CASE("digest_file_chunks: throws what a thread met, and leaves none behind") {
  CHECK_THROWS_AS(digest_file_chunks(
                      -1, 1'000'000, k_small_chunk, 3, [](std::uint64_t) {}, "file"),
                  Error);
}

TEST_CASE("ChunkDigester: answers in any order and finishes what was asked for") {
  const auto bytes = varied_bytes(300'000);
  std::vector<std::shared_future<std::vector<Digest>>> answers;
  {
    ChunkDigester digester(k_small_chunk, 3);
    for (std::size_t i = 0; i < 20; ++i) {
      answers.push_back(digester.digest(Bytes(bytes).subspan(i * 10'000, 10'000)));
    }
  }
  for (std::size_t i = 0; i < 20; ++i) {
    REQUIRE(answers[i].get() ==
            one_by_one(Bytes(bytes).subspan(i * 10'000, 10'000), k_small_chunk));
  }
}

}  // namespace mad::test
