#include "retention/local_place.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "manifest/manifest.hpp"
#include "snapshot/publish.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace {

using namespace mad;
using test::error_from;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

/// An archive without members: the shortest npz there is.
const std::string k_empty_npz = std::string("PK\5\6", 4) + std::string(18, '\0');

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string manifest_of(const std::string& npz, std::int64_t step) {
  Manifest manifest;
  manifest.sha256 = Sha256::of(as_bytes(npz));
  manifest.size_bytes = npz.size();
  manifest.step = step;
  return format_manifest(manifest);
}

void publish(const std::string& path, std::int64_t step = 1) {
  PublishOptions options;
  options.durability = Durability::none;
  SnapshotPublisher publisher(path, options);
  publisher.write(as_bytes(k_empty_npz));
  publisher.publish(manifest_of(k_empty_npz, step));
}

std::map<std::string, PlacedSnapshot> look(Place& place) {
  std::map<std::string, PlacedSnapshot> found;
  for (PlacedSnapshot& snapshot : place.survey(WorkNeed::needed).snapshots) {
    found[snapshot.name] = std::move(snapshot);
  }
  return found;
}

std::string entries(const TemporaryDirectory& directory) {
  std::string names;
  const Fd opened = open_directory(directory.path());
  for (const std::string& name : list_directory(opened.get(), "")) names += name + ' ';
  return names;
}

}  // namespace

TEST_CASE("LocalPlace: each thing that can be there is called what it is") {
  const TemporaryDirectory directory;
  publish(directory.file("whole.npz"), 7);
  publish(directory.file("short.npz"));
  fs::resize_file(directory.file("short.npz"), 21);
  write_file(directory.file("bare.npz"), "x");
  write_file(directory.file("lone.npz.manifest.json"), "{}");
  publish(directory.file("torn.npz"));
  write_file(directory.file("torn.npz.manifest.json"), "{");
  publish(directory.file("died.npz"));
  fs::rename(directory.file("died.npz.manifest.json"),
             directory.file("died.npz.manifest.json.next"));
  fs::create_symlink("whole.npz", directory.file("link.npz"));
  write_file(directory.file("link.npz.manifest.json"), manifest_of(k_empty_npz, 1));
  fs::create_directory(directory.file("dir.npz"));
  write_file(directory.file("notes.txt"), "x");

  const auto place = open_local_place(directory.path());
  const auto found = look(*place);
  CHECK(found.size() == 8);
  CHECK(found.at("whole.npz").state == SnapshotState::complete);
  CHECK(found.at("whole.npz").facts->step == 7);
  CHECK(found.at("short.npz").state == SnapshotState::refused);
  CHECK(found.at("short.npz").error->reason == "size-mismatch");
  CHECK(found.at("bare.npz").state == SnapshotState::no_manifest);
  CHECK(found.at("lone.npz").state == SnapshotState::no_npz);
  CHECK(found.at("torn.npz").error->reason == "manifest-invalid");
  CHECK(found.at("died.npz").state == SnapshotState::complete);
  CHECK(found.at("died.npz").interrupted);
  CHECK(found.at("link.npz").error->reason == "not-regular");
  CHECK_FALSE(found.at("link.npz").is_plain());
  CHECK(found.at("dir.npz").state == SnapshotState::refused);
  CHECK_FALSE(place->check(found.at("whole.npz")));
  CHECK_FALSE(place->check(found.at("died.npz")));
  place->settle(found.at("died.npz"));
  CHECK(fs::exists(directory.file("died.npz.manifest.json")));
}

TEST_CASE("LocalPlace: a snapshot goes with all that is its own") {
  const TemporaryDirectory directory;
  publish(directory.file("a.npz"));
  publish(directory.file("b.npz"));
  for (const char* suffix :
       {".manifest.json.sig", ".manifest.json.next", ".manifest.json.sig.next"}) {
    write_file(directory.file("a.npz") + suffix, "x");
  }
  const auto place = open_local_place(directory.path());
  const auto found = look(*place);
  CHECK(place->remove(found.at("a.npz"), {&found.at("b.npz")}) == Removal::removed);
  CHECK(entries(directory) == "b.npz b.npz.manifest.json ");
  CHECK(place->remove(found.at("a.npz"), {&found.at("b.npz")}) == Removal::gone);
}

TEST_CASE("LocalPlace: what another pruner left half-way is finished") {
  const TemporaryDirectory directory;
  publish(directory.file("a.npz"));
  const auto place = open_local_place(directory.path());
  const auto found = look(*place);
  fs::remove(directory.file("a.npz"));
  CHECK(place->remove(found.at("a.npz"), {}) == Removal::removed);
  CHECK(entries(directory).empty());
}

TEST_CASE("LocalPlace: a snapshot that was replaced meanwhile stays") {
  const TemporaryDirectory directory;
  publish(directory.file("a.npz"), 1);
  publish(directory.file("b.npz"));
  const auto place = open_local_place(directory.path());
  const auto found = look(*place);
  publish(directory.file("a.npz"), 2);
  CHECK(place->remove(found.at("a.npz"), {}) == Removal::in_use);
  CHECK(look(*place).at("a.npz").facts->step == 2);
  // The same npz with another manifest is another snapshot.
  const auto again = look(*place);
  write_file(directory.file("x"), manifest_of(k_empty_npz, 3));
  fs::rename(directory.file("x"), directory.file("a.npz.manifest.json"));
  CHECK(place->remove(again.at("a.npz"), {}) == Removal::in_use);
  CHECK(place->remove(found.at("b.npz"), {&again.at("a.npz")}) == Removal::witness_lost);
  fs::remove(directory.file("a.npz"));
  CHECK(place->remove(found.at("b.npz"), {&again.at("a.npz")}) == Removal::witness_lost);
  CHECK(fs::exists(directory.file("b.npz")));
}

TEST_CASE("LocalPlace: the work of one that lives stays, that of a dead one goes") {
  const TemporaryDirectory directory;
  for (const char* name : {".a.npz.mad-aaaaaaaa", ".a.npz.mad-bbbbbbbb", ".a.npz.mad-partial",
                           ".a.npz.mad-partial.parts", ".b.npz.mad-partial.parts",
                           ".a.txt.mad-cccccccc", "a.npz.mad-dddddddd"}) {
    write_file(directory.file(name), "x");
  }
  const Fd alive(open(directory.file(".a.npz.mad-bbbbbbbb").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(flock(alive.get(), LOCK_EX) == 0);
  const auto place = open_local_place(directory.path());
  const auto works = place->survey(WorkNeed::needed).works;
  REQUIRE(works.size() == 4);
  CHECK(place->remove(works[0]) == Removal::removed);
  CHECK(place->remove(works[1]) == Removal::in_use);
  CHECK(place->remove(works[2]) == Removal::removed);
  CHECK(place->remove(works[3]) == Removal::removed);
  CHECK(place->remove(works[3]) == Removal::gone);
  CHECK(entries(directory) == ".a.npz.mad-bbbbbbbb .a.txt.mad-cccccccc a.npz.mad-dddddddd ");
  CHECK(place->survey(WorkNeed::not_needed).works.empty());
}

TEST_CASE("LocalPlace: there is no place, or it is a file") {
  const TemporaryDirectory directory;
  CHECK(error_from([&] { open_local_place(directory.file("none")); }).reason == "place-missing");
  write_file(directory.file("file"), "x");
  CHECK(error_from([&] { open_local_place(directory.file("file")); }).code == ExitCode::not_found);
}
