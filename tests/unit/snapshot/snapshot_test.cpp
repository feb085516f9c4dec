#include "snapshot/snapshot.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "snapshot/hashing_sink.hpp"
#include "snapshot/publish.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace {

using namespace mad;
using test::error_from;
using test::TemporaryDirectory;

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string manifest_beside(const std::string& npz) {
  Manifest manifest;
  manifest.sha256 = Sha256::of(as_bytes(npz));
  manifest.size_bytes = npz.size();
  return format_manifest(manifest);
}

std::string npz_of(const OpenSnapshot& snapshot) {
  return read_small_file(snapshot.npz.get(), 1000, "npz");
}

class StringSink final : public Sink {
 public:
  void write(Bytes bytes) override { text += as_text(bytes); }
  void finish() override {}
  std::string text;
};

class FailingSink final : public Sink {
 public:
  void write(Bytes) override { throw Error(ExitCode::io, "no-space", "sink", "is full"); }
  void finish() override {}
};

NpyHeader scalar(const std::string& descr, std::uint64_t item_bytes) {
  NpyHeader header;
  header.descr = descr;
  header.item_bytes = item_bytes;
  header.data_bytes = item_bytes;
  return header;
}

template <class... B>
std::optional<std::int64_t> step(const std::string& descr, B... values) {
  const std::array<std::byte, sizeof...(B)> item = {static_cast<std::byte>(values)...};
  return parse_step(scalar(descr, item.size()), item);
}

}  // namespace

TEST_CASE("open_snapshot: the pair at rest") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  write_text(npz, "old");
  write_text(npz + ".manifest.json", manifest_beside("old"));
  const OpenSnapshot snapshot = open_snapshot(npz, ManifestNeed::required);
  CHECK(npz_of(snapshot) == "old");
  CHECK(snapshot.size_bytes == 3);
  CHECK(snapshot.manifest == manifest_beside("old"));
  CHECK(snapshot.manifest_path == npz + ".manifest.json");
}

TEST_CASE("open_snapshot: the .next of an interrupted writer, where it is the npz's own") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  const std::string next = npz + ".manifest.json.next";
  write_text(npz, "new");
  write_text(next, manifest_beside("new"));
  CHECK(open_snapshot(npz, ManifestNeed::required).manifest_path == next);
  write_text(npz + ".manifest.json", manifest_beside("old"));
  CHECK(open_snapshot(npz, ManifestNeed::required).manifest == manifest_beside("new"));
  write_text(npz, "old");
  CHECK(open_snapshot(npz, ManifestNeed::required).manifest == manifest_beside("old"));
  CHECK(std::filesystem::exists(next));
}

TEST_CASE("open_snapshot: a torn .next hides nothing") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  write_text(npz, "old");
  write_text(npz + ".manifest.json", manifest_beside("old"));
  write_text(npz + ".manifest.json.next", manifest_beside("new").substr(0, 40));
  CHECK(open_snapshot(npz, ManifestNeed::required).manifest == manifest_beside("old"));
}

TEST_CASE("open_snapshot: what is missing is said by its name") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  const Error no_npz = error_from([&] { open_snapshot(npz, ManifestNeed::optional); });
  CHECK(no_npz.code == ExitCode::not_found);
  CHECK(no_npz.reason == "snapshot-missing");
  CHECK(error_from([&] {
          open_snapshot(directory.file("no/sim.npz"), ManifestNeed::optional);
        }).reason == "snapshot-missing");
  write_text(npz, "bare");
  const Error no_manifest = error_from([&] { open_snapshot(npz, ManifestNeed::required); });
  CHECK(no_manifest.code == ExitCode::not_found);
  CHECK(no_manifest.reason == "manifest-missing");
  CHECK(no_manifest.subject == npz + ".manifest.json");
  CHECK_FALSE(open_snapshot(npz, ManifestNeed::optional).manifest.has_value());
}

TEST_CASE("open_snapshot: a link or a FIFO is refused") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  std::filesystem::create_symlink("/dev/zero", npz);
  CHECK(error_from([&] { open_snapshot(npz, ManifestNeed::optional); }).reason == "not-regular");
  std::filesystem::remove(npz);
  REQUIRE(mkfifo(npz.c_str(), 0600) == 0);
  CHECK(error_from([&] { open_snapshot(npz, ManifestNeed::optional); }).reason == "not-regular");
}

TEST_CASE("open_snapshot: never a mixture while writers replace it") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  std::atomic<bool> done = false;
  const auto publish = [&](const std::string& text) {
    PublishOptions options;
    options.durability = Durability::none;
    SnapshotPublisher publisher(npz, options);
    publisher.write(as_bytes(text));
    publisher.publish(manifest_beside(text));
  };
  publish("0");
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) publish(std::to_string(i % 10));
    done = true;
  });
  int mixed = 0;
  while (!done) {
    const OpenSnapshot snapshot = open_snapshot(npz, ManifestNeed::required);
    if (snapshot.manifest != manifest_beside(npz_of(snapshot))) ++mixed;
  }
  writer.join();
  CHECK(mixed == 0);
}

TEST_CASE("HashingSink: passes the bytes on and hashes them, whatever the portions") {
  for (const std::size_t portion : {1U, 1000U, 700'000U, 5'000'000U}) {
    const std::string text(portion == 1U ? 100 : 9'000'001, 'x');
    StringSink behind;
    HashingSink hashing(behind, std::size_t{4} << 20U);
    for (std::size_t at = 0; at < text.size(); at += portion) {
      hashing.write(as_bytes(std::string_view(text).substr(at, portion)));
    }
    hashing.finish();
    CHECK(behind.text == text);
    CHECK(hashing.digests().size_bytes == text.size());
    CHECK(hashing.digests().sha256 == Sha256::of(as_bytes(text)));
    CHECK(hashing.digests().chunks.digests.size() == (text.size() + (4U << 20U) - 1) / (4U << 20U));
  }
}

TEST_CASE("HashingSink: what the other sink throws comes through") {
  FailingSink full;
  HashingSink hashing(full, 64);
  const auto write_and_finish = [&] {
    hashing.write(as_bytes("x"));
    hashing.finish();
  };
  CHECK(error_from(write_and_finish).reason == "no-space");
}

TEST_CASE("digest_file: the whole and its chunks") {
  const TemporaryDirectory directory;
  const std::string text((std::size_t{4} << 20U) + 5, 'y');
  write_text(directory.file("x"), text);
  const FileDigests digests = digest_file(open_regular(directory.file("x")).get(), "x", "x");
  CHECK(digests.sha256 == Sha256::of(as_bytes(text)));
  CHECK(digests.size_bytes == text.size());
  REQUIRE(digests.chunks.digests.size() == 2);
  CHECK(digests.chunks.digests[1] == Sha256::of(as_bytes("yyyyy")));
}

TEST_CASE("parse_step: integers of every size and order, and nothing else") {
  CHECK(step("'<i8'", 42, 0, 0, 0, 0, 0, 0, 0) == 42);
  CHECK(step("'>i4'", 0xFF, 0xFF, 0xFF, 0xFE) == -2);
  CHECK(step("'|u1'", 200) == 200);
  CHECK(step("'|i1'", 200) == -56);
  CHECK(step("'>u2'", 1, 2) == 258);
  CHECK_FALSE(step("'<u8'", 0, 0, 0, 0, 0, 0, 0, 0x80).has_value());
  CHECK_FALSE(step("'<f8'", 0, 0, 0, 0, 0, 0, 0, 0).has_value());
  CHECK_FALSE(step("[('i', '<i8')]", 0, 0, 0, 0, 0, 0, 0, 0).has_value());
  NpyHeader two = scalar("'<i8'", 8);
  two.data_bytes = 16;
  CHECK_FALSE(parse_step(two, std::array<std::byte, 8>{}).has_value());
}
