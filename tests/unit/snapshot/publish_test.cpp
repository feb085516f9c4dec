#include "snapshot/publish.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace {

using namespace mad;
using test::error_from;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A manifest that belongs to these bytes.
std::string manifest_of(const std::string& npz) {
  Manifest manifest;
  manifest.sha256 = Sha256::of(as_bytes(npz));
  manifest.size_bytes = npz.size();
  return format_manifest(manifest);
}

PublishOptions quick() {
  PublishOptions options;
  options.durability = Durability::none;
  options.lock_timeout_ms = 50;
  return options;
}

void publish(const std::string& path, const std::string& npz) {
  SnapshotPublisher publisher(path, quick());
  publisher.write(as_bytes(npz));
  publisher.publish(manifest_of(npz));
}

std::size_t entries_in(const std::string& directory) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("SnapshotPublisher: what was written is there only after publish()") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  publish(npz, "old");
  {
    SnapshotPublisher publisher(npz, quick());
    publisher.write(as_bytes("new"));
    CHECK(read_file(npz) == "old");
  }
  CHECK(read_file(npz) == "old");
  CHECK(entries_in(directory.path()) == 2);
  publish(npz, "new");
  CHECK(read_file(npz) == "new");
  CHECK(read_file(npz + ".manifest.json") == manifest_of("new"));
  CHECK(entries_in(directory.path()) == 2);
}

TEST_CASE("SnapshotPublisher: restart() forgets what was written") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  SnapshotPublisher publisher(npz, quick());
  publisher.write(as_bytes("a long beginning"));
  publisher.restart();
  publisher.write(as_bytes("new"));
  publisher.publish(manifest_of("new"));
  CHECK(read_file(npz) == "new");
}

TEST_CASE("SnapshotPublisher: a bare npz takes the manifest of the old one away") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  publish(npz, "old");
  SnapshotPublisher publisher(npz, quick());
  publisher.write(as_bytes("bare"));
  publisher.publish(std::nullopt);
  CHECK(read_file(npz) == "bare");
  CHECK(entries_in(directory.path()) == 1);
}

TEST_CASE("SnapshotPublisher: a lock that stays held is refused in time, and nothing is left") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  const Fd holder = open_directory(directory.path());
  REQUIRE(flock(holder.get(), LOCK_SH) == 0);
  const Error error = error_from([&] { publish(npz, "new"); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.reason == "lock-timeout");
  CHECK(entries_in(directory.path()) == 0);
}

TEST_CASE("SnapshotPublisher: a space that is not there is known before writing") {
  const TemporaryDirectory directory;
  SnapshotPublisher publisher(directory.file("sim.npz"), quick());
  const Error error = error_from([&] { publisher.reserve(std::uint64_t{1} << 60U); });
  CHECK(error.code == ExitCode::io);
}

TEST_CASE("SnapshotPublisher: a path without a file name is refused") {
  const TemporaryDirectory directory;
  const Error error = error_from([&] { publish(directory.path() + "/", "new"); });
  CHECK(error.reason == "not-regular");
}

TEST_CASE("SnapshotPublisher: with Naming::sequence each goes on counting from the highest") {
  const TemporaryDirectory directory;
  write_file(directory.file("run-0000000041-20260101T000000Z.npz"), "x");
  PublishOptions options = quick();
  options.naming = Naming::sequence;
  SnapshotPublisher publisher(directory.file("run.npz"), options);
  publisher.write(as_bytes("new"));
  publisher.publish(manifest_of("new"));
  CHECK(fs::path(publisher.path()).filename().string().rfind("run-0000000042-", 0) == 0);
  CHECK(read_file(publisher.path() + ".manifest.json") == manifest_of("new"));
}

TEST_CASE("SnapshotPublisher: a sequence completes what an interrupted writer left in it") {
  const TemporaryDirectory directory;
  const std::string left = directory.file("run-0000000007-20260101T000000Z.npz");
  write_file(left, "left");
  write_file(left + ".manifest.json.next", manifest_of("left"));
  PublishOptions options = quick();
  options.naming = Naming::sequence;
  SnapshotPublisher publisher(directory.file("run.npz"), options);
  publisher.publish(manifest_of(""));
  CHECK(read_file(left + ".manifest.json") == manifest_of("left"));
  CHECK_FALSE(fs::exists(left + ".manifest.json.next"));
}

TEST_CASE("recover_snapshot: a .next that belongs to the npz becomes its manifest") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  publish(npz, "old");
  write_file(npz, "new");
  write_file(npz + ".manifest.json.next", manifest_of("new"));
  CHECK(recover_snapshot(npz, quick()) == Recovery::completed);
  CHECK(read_file(npz + ".manifest.json") == manifest_of("new"));
  CHECK(entries_in(directory.path()) == 2);
  CHECK(recover_snapshot(npz, quick()) == Recovery::nothing);
}

TEST_CASE("recover_snapshot: the first snapshot ever is completed too") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  write_file(npz, "new");
  write_file(npz + ".manifest.json.next", manifest_of("new"));
  CHECK(recover_snapshot(npz, quick()) == Recovery::completed);
  CHECK(read_file(npz + ".manifest.json") == manifest_of("new"));
}

TEST_CASE("recover_snapshot: a .next that is torn, foreign or no file is deleted") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  const std::string next = npz + ".manifest.json.next";
  publish(npz, "old");
  for (const std::string& text : {std::string(), manifest_of("new").substr(0, 50),
                                  manifest_of("NEW"), manifest_of("longer")}) {
    write_file(next, text);
    CHECK(recover_snapshot(npz, quick()) == Recovery::discarded);
    CHECK_FALSE(fs::exists(next));
    CHECK(read_file(npz + ".manifest.json") == manifest_of("old"));
  }
  fs::create_symlink("/dev/zero", next);
  CHECK(recover_snapshot(npz, quick()) == Recovery::discarded);
  CHECK_FALSE(fs::is_symlink(next));
}

TEST_CASE("recover_snapshot: temporaries of dead writers go, those of living ones stay") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  write_file(directory.file(".sim.npz.mad-abcdefgh"), "dead");
  const SnapshotPublisher alive(npz, quick());
  write_file(directory.file(".sim.npz.mad-ijklmnop"), "dead");
  CHECK(recover_snapshot(npz, quick()) == Recovery::nothing);
  CHECK(entries_in(directory.path()) == 1);
}

TEST_CASE("spare_the_unread_snapshot: only where a resume failed and something is there") {
  const TemporaryDirectory directory;
  const std::string npz = directory.file("sim.npz");
  setenv("MAD_RESUME_STATUS", "failed", 1);
  CHECK(spare_the_unread_snapshot(npz) == npz);
  write_file(npz, "unread");
  const std::string spared = spare_the_unread_snapshot(npz);
  CHECK(spared.rfind(directory.file("sim-after-failed-"), 0) == 0);
  CHECK(spared.substr(spared.size() - 4) == ".npz");
  setenv("MAD_RESUME_STATUS", "resumed", 1);
  CHECK(spare_the_unread_snapshot(npz) == npz);
  unsetenv("MAD_RESUME_STATUS");
  CHECK(spare_the_unread_snapshot(npz) == npz);
}

TEST_CASE("next_name_in: a lone manifest has used its number, other names have not") {
  const TemporaryDirectory directory;
  const auto number = [&] {
    return fs::path(next_name_in(directory.path(), "run")).filename().string().substr(0, 15);
  };
  CHECK(number() == "run-0000000001-");
  write_file(directory.file("run-0000000003-20260101T000000Z.npz.manifest.json"), "");
  write_file(directory.file("runner-0000000009-20260101T000000Z.npz"), "");
  write_file(directory.file("run-99-20260101T000000Z.npz"), "");
  CHECK(number() == "run-0000000004-");
  write_file(directory.file("run-9999999999-20260101T000000Z.npz"), "");
  CHECK(error_from(number).code == ExitCode::io);
}
