#include "exchange/placed_npz.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "exchange/delivery.hpp"
#include "range_server.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::numbered_bytes;
using mad::test::RangeServer;
using mad::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t k_part_bytes = 10'000;
constexpr std::uint64_t k_chunk_bytes = 6'400;

/// What a fetch by whole chunks reads after one that ended at 100,000: parts are of two chunks.
constexpr std::uint64_t k_after_some_chunks = 205'000 - 8 * 2 * k_chunk_bytes;

enum class ChunkList { none, all };

/// A destination, and fetches to it through a delivery.
class Fetching {
 public:
  explicit Fetching(ChunkList chunks) : server(numbered_bytes(205'000)) {
    Manifest manifest;
    manifest.sha256 = Sha256::of(as_bytes(server.object));
    manifest.size_bytes = server.object.size();
    if (chunks == ChunkList::all) {
      manifest.chunks = Chunks{k_chunk_bytes, {}};
      for (std::size_t at = 0; at < server.object.size(); at += k_chunk_bytes) {
        manifest.chunks->digests.push_back(
            Sha256::of(as_bytes(std::string_view(server.object).substr(at, k_chunk_bytes))));
      }
    }
    text = format_manifest(manifest);
  }

  std::unique_ptr<Delivery> delivery() const {
    PublishOptions options;
    options.durability = Durability::none;
    return deliver_files(npz, {"URL", "URL.manifest.json"}, options);
  }
  RangedNpz& begin(Delivery& to, const std::string& version = "v1",
                   unsigned connections = 3) const {
    RangeWishes wishes;
    wishes.connections = connections;
    wishes.part_bytes = k_part_bytes;
    return to.begin_ranges({text, {}}, {server.object.size(), version}, wishes);
  }
  void read(RangedNpz& ranged) {
    server.asked.clear();
    Progress progress("test", std::nullopt);
    read_npz(server.source(), ranged, progress);
  }
  /// A fetch that fails at the first part at or behind `fatal_offset`; by one connection, so
  /// that all before it is there and nothing after it.
  void fetch_some(std::uint64_t fatal_offset) {
    server.on_range = [fatal_offset](const ByteRange& range) {
      if (range.offset >= fatal_offset) throw Error(ExitCode::remote, "transfer-cut", "x", "cut");
      return RangeOutcome::complete;
    };
    const auto to = delivery();
    const Error error = error_from([&] { read(begin(*to, "v1", 1)); });
    to->failed(error);
    server.on_range = nullptr;
  }
  /// Of a second fetch, which must publish.
  std::uint64_t fetch_the_rest() {
    const auto to = delivery();
    RangedNpz& ranged = begin(*to);
    read(ranged);
    to->finish();
    CHECK(found(npz) == server.object);
    CHECK(found(npz + ".manifest.json") == text);
    CHECK(names() == "sim.npz sim.npz.manifest.json ");
    std::uint64_t asked = 0;
    for (const ByteRange& range : server.asked) asked += range.length;
    return asked;
  }
  void damage(std::uint64_t at) const {
    const Fd file(open(partial.c_str(), O_RDWR | O_CLOEXEC));
    const char wrong = static_cast<char>(server.object[at] ^ 1);
    REQUIRE(pwrite(file.get(), &wrong, 1, static_cast<off_t>(at)) == 1);
  }
  std::string names() const {
    std::string all;
    for (const std::string& name : list_directory(open_directory(directory.path()).get(), "")) {
      all += name + ' ';
    }
    return all;
  }
  static std::string found(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TemporaryDirectory directory;
  std::string npz = directory.file("sim.npz");
  std::string partial = directory.file(".sim.npz.mad-partial");
  RangeServer server;
  std::string text;
};

}  // namespace

TEST_CASE("PlacedNpz: parts in any order are published once they are what the manifest says") {
  for (const ChunkList chunks : {ChunkList::none, ChunkList::all}) {
    Fetching fetching(chunks);
    CHECK(fetching.fetch_the_rest() == fetching.server.object.size());
  }
}

TEST_CASE("PlacedNpz: a fetch goes on where a failed one stopped") {
  for (const ChunkList chunks : {ChunkList::none, ChunkList::all}) {
    Fetching fetching(chunks);
    fetching.fetch_some(100'000);
    CHECK(fetching.names() == ".sim.npz.mad-partial .sim.npz.mad-partial.parts ");
    CHECK(fetching.fetch_the_rest() == (chunks == ChunkList::none ? 105'000 : k_after_some_chunks));
  }
}

TEST_CASE("PlacedNpz: of a chunk that is there in part all is read again") {
  Fetching fetching(ChunkList::all);
  {
    const auto partial = PartialFile::open(fetching.npz, "v1", fetching.server.object.size());
    pwrite_full(partial->fd(), as_bytes(fetching.server.object).first(10'000), 0, "");
    partial->add({0, 10'000});
  }
  CHECK(fetching.fetch_the_rest() == 205'000 - k_chunk_bytes);
}

TEST_CASE("PlacedNpz: of another version nothing is taken") {
  Fetching fetching(ChunkList::all);
  fetching.fetch_some(100'000);
  const auto to = fetching.delivery();
  RangedNpz& ranged = fetching.begin(*to, "v2");
  CHECK(ranged.resumed_bytes() == 0);
  CHECK(ranged.missing().size() == 1);
}

TEST_CASE("PlacedNpz: a damaged chunk of an earlier fetch is read again, and no other") {
  Fetching fetching(ChunkList::all);
  fetching.fetch_some(100'000);
  fetching.damage(50'000);
  CHECK(fetching.fetch_the_rest() == k_after_some_chunks + k_chunk_bytes);
}

TEST_CASE("PlacedNpz: a damaged last chunk of an earlier fetch is read again") {
  Fetching last(ChunkList::all);
  {
    const auto partial = PartialFile::open(last.npz, "v1", last.server.object.size());
    pwrite_full(partial->fd(), as_bytes(last.server.object), 0, "");
    partial->add({0, last.server.object.size()});
  }
  last.damage(204'999);
  CHECK(last.fetch_the_rest() == 205'000 % k_chunk_bytes);
}

TEST_CASE("PlacedNpz: all that was missing is the publishing") {
  Fetching fetching(ChunkList::none);
  const auto to = fetching.delivery();
  fetching.read(fetching.begin(*to));
  to->failed(Error(ExitCode::io, "lock-timeout", "x", "held"));
  CHECK(fetching.fetch_the_rest() == 0);
}

TEST_CASE("PlacedNpz: without chunks damage is found at the end, and what was left read again") {
  Fetching fetching(ChunkList::none);
  fetching.fetch_some(100'000);
  fetching.damage(50'000);
  CHECK(fetching.fetch_the_rest() == 205'000);
}

TEST_CASE("PlacedNpz: what is wrong at its source is refused, and nothing is left") {
  for (const ChunkList chunks : {ChunkList::none, ChunkList::all}) {
    for (const bool resumed : {false, true}) {
      Fetching fetching(chunks);
      if (resumed) fetching.fetch_some(100'000);
      fetching.server.object[7] ^= 1;
      fetching.server.object[200'000] ^= 1;
      const auto to = fetching.delivery();
      const Error error = error_from([&] {
        fetching.read(fetching.begin(*to));
        to->finish();
      });
      to->failed(error);
      CHECK(error.reason == (chunks == ChunkList::none ? "sha256-mismatch" : "chunk-mismatch"));
      CHECK(error.code == ExitCode::refused);
      CHECK(fetching.names().empty());
    }
  }
}

TEST_CASE("PlacedNpz: while another fetch of the same destination runs, both end well") {
  Fetching fetching(ChunkList::all);
  const auto first = fetching.delivery();
  RangedNpz& ranged = fetching.begin(*first);
  CHECK(fetching.names().find(".sim.npz.mad-partial.parts") != std::string::npos);
  const auto second = fetching.delivery();
  fetching.read(fetching.begin(*second));
  second->finish();
  CHECK(Fetching::found(fetching.npz) == fetching.server.object);
  fetching.read(ranged);
  first->finish();
  CHECK(Fetching::found(fetching.npz) == fetching.server.object);
  CHECK(fetching.names() == "sim.npz sim.npz.manifest.json ");
}
