#include "hash/chunk_digests.hpp"

#include <unistd.h>

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

TEST_CASE("RangeDigester: gives the same of a file looked at in place as of one copied") {
  const auto bytes = varied_bytes(3'000'001);
  const Fd file = open_unnamed_file("");
  write_full(file.get(), bytes, "file");
  // Not at a page's beginning, of several lengths, the longest of many steps.
  const std::vector<ByteRange> ranges = {{1'500'000, 1'500'001}, {0, 1'000'000}, {77, 64}, {9, 0}};
  for (const FileOf file_of : {FileOf::this_process, FileOf::anyone}) {
    RangeDigester digester(file_of);
    std::vector<std::uint64_t> seen(ranges.size());
    const auto digests =
        digester.digest(file.get(), ranges, "file", [&](std::size_t range, Bytes some) {
          const auto at = static_cast<std::size_t>(ranges[range].offset + seen[range]);
          REQUIRE(std::ranges::equal(some, Bytes(bytes).subspan(at, some.size())));
          seen[range] += some.size();
        });
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      CHECK(seen[i] == ranges[i].length);
      CHECK(digests[i] == Sha256::of(Bytes(bytes).subspan(ranges[i].offset, ranges[i].length)));
    }
  }
}

TEST_CASE("RangeDigester: reads on where a file looked at in place was cut short meanwhile") {
  const auto bytes = varied_bytes(2'000'000);
  const Fd file = open_unnamed_file("");
  write_full(file.get(), bytes, "file");
  const std::vector<ByteRange> ranges = {{0, 1'000'000}, {1'000'000, 1'000'000}};
  bool cut = false;
  RangeDigester digester(FileOf::this_process);
  const auto digests = digester.digest(file.get(), ranges, "file", [&](std::size_t range, Bytes) {
    if (!cut && range == 1) {
      cut = true;
      // Behind what has been loaded.
      REQUIRE(ftruncate(file.get(), 1'600'000) == 0);
    }
  });
  CHECK(digests[0] == Sha256::of(Bytes(bytes).first(1'000'000)));
  CHECK(digests[1] == Sha256::of(Bytes(bytes).subspan(1'000'000, 600'000)));
}

TEST_CASE("RangeDigester: throws where the file cannot be read") {
  RangeDigester digester(FileOf::this_process);
  const std::vector<ByteRange> ranges = {{0, 1'000}};
  CHECK_THROWS_AS(digester.digest(-1, ranges, "file", [](std::size_t, Bytes) {}), Error);
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
