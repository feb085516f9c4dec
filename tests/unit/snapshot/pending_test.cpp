#include "snapshot/pending.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

using test::error_from;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

const std::string k_manifest = "sim.npz.manifest.json";
const std::string k_next = k_manifest + ".next";
const std::string k_sig = k_manifest + ".sig";
const std::string k_sig_next = k_sig + ".next";

/// A manifest of these bytes, which `note` tells from others of the same.
std::string manifest_for(const std::string& npz, const std::string& note = "") {
  Manifest manifest;
  manifest.sha256 = Sha256::of(as_bytes(npz));
  manifest.size_bytes = npz.size();
  manifest.created_at = note;
  return format_manifest(manifest);
}

PublishOptions at_once() {
  PublishOptions options;
  options.durability = Durability::none;
  return options;
}

/// What stands in a directory.
using Files = std::map<std::string, std::string>;

class Place {
 public:
  Place() = default;
  explicit Place(const Files& files) {
    for (const auto& [name, text] : files) {
      std::ofstream(directory_.file(name), std::ios::binary) << text;
    }
  }
  std::string npz() const { return directory_.file("sim.npz"); }
  Files files() const {
    Files files;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      files[entry.path().filename().string()] = text.str();
    }
    return files;
  }
  void publish(const std::string& bytes, const std::optional<std::string>& manifest,
               const std::optional<std::string>& signature = {}) const {
    SnapshotPublisher publisher(npz(), at_once());
    publisher.write(as_bytes(bytes));
    publisher.publish(manifest, signature);
  }

 private:
  TemporaryDirectory directory_;
};

struct Found {
  std::optional<std::string> manifest, signature;
};

Found found_in(const Place& place) {
  const OpenSnapshot snapshot = open_snapshot(place.npz(), ManifestNeed::optional);
  return {snapshot.manifest, snapshot.signature};
}

}  // namespace

TEST_CASE("SnapshotPublisher: a signature is published with its manifest, and goes with it") {
  const Place place;
  place.publish("one", manifest_for("one"), "signed one");
  CHECK(place.files() ==
        Files{{"sim.npz", "one"}, {k_manifest, manifest_for("one")}, {k_sig, "signed one"}});
  place.publish("two", manifest_for("two"), "signed two");
  CHECK(place.files() ==
        Files{{"sim.npz", "two"}, {k_manifest, manifest_for("two")}, {k_sig, "signed two"}});
  place.publish("three", manifest_for("three"));
  CHECK(place.files() == Files{{"sim.npz", "three"}, {k_manifest, manifest_for("three")}});
  place.publish("four", manifest_for("four"), "signed four");
  place.publish("five", std::nullopt);
  CHECK(place.files() == Files{{"sim.npz", "five"}});
}

TEST_CASE("SnapshotPublisher: an empty signature is none") {
  const Place place;
  place.publish("one", manifest_for("one"), "");
  CHECK(place.files() == Files{{"sim.npz", "one"}, {k_manifest, manifest_for("one")}});
}

TEST_CASE("SnapshotPublisher: a signature's place that is no regular file is refused early") {
  const Place place;
  fs::create_directory(place.npz() + ".manifest.json.sig");
  const Error error = error_from([&] { place.publish("one", manifest_for("one")); });
  CHECK(error.reason == "not-regular");
  CHECK_FALSE(fs::exists(place.npz()));
}

TEST_CASE("pending: at each step a reader finds a whole triple, and recovery makes it stay") {
  const std::string old_m = manifest_for("old");
  const std::string new_m = manifest_for("new");
  const std::string again_m = manifest_for("old", "again");
  struct Step {
    const char* where;
    Files files;
    Found found;
    Recovery recovery;
  };
  const Files old_files = {{"sim.npz", "old"}, {k_manifest, old_m}, {k_sig, "old sig"}};
  const auto with = [](Files files, const Files& more) {
    for (const auto& [name, text] : more) files[name] = text;
    return files;
  };
  const Files renamed = with(old_files, {{"sim.npz", "new"}});
  const std::vector<Step> steps = {
      {"a signature alone",
       with(old_files, {{k_sig_next, "new sig"}}),
       {old_m, "old sig"},
       Recovery::discarded},
      {"a torn manifest beside it",
       with(old_files, {{k_sig_next, "new sig"}, {k_next, new_m.substr(0, 40)}}),
       {old_m, "old sig"},
       Recovery::discarded},
      {"both, and the old npz",
       with(old_files, {{k_sig_next, "new sig"}, {k_next, new_m}}),
       {old_m, "old sig"},
       Recovery::discarded},
      {"both, and the new npz",
       with(renamed, {{k_sig_next, "new sig"}, {k_next, new_m}}),
       {new_m, "new sig"},
       Recovery::completed},
      {"the signature renamed",
       with(renamed, {{k_sig, "new sig"}, {k_next, new_m}}),
       {new_m, "new sig"},
       Recovery::completed},
      {"an unsigned one, and the old npz",
       with(old_files, {{k_sig_next, ""}, {k_next, new_m}}),
       {old_m, "old sig"},
       Recovery::discarded},
      {"an unsigned one, and the new npz",
       with(renamed, {{k_sig_next, ""}, {k_next, new_m}}),
       {new_m, std::nullopt},
       Recovery::completed},
      {"its empty signature renamed",
       with(renamed, {{k_sig, ""}, {k_next, new_m}}),
       {new_m, std::nullopt},
       Recovery::completed},
      {"its manifest renamed",
       with(renamed, {{k_sig, ""}, {k_manifest, new_m}}),
       {new_m, std::nullopt},
       Recovery::nothing},
      {"the same npz again",
       with(old_files, {{k_sig_next, "again"}, {k_next, again_m}}),
       {again_m, "again"},
       Recovery::completed},
      {"the same npz again, its signature renamed",
       with(old_files, {{k_sig, "again"}, {k_next, again_m}}),
       {again_m, "again"},
       Recovery::completed},
      {"the same npz again, unsigned",
       with(old_files, {{k_sig_next, ""}, {k_next, again_m}}),
       {again_m, std::nullopt},
       Recovery::completed},
      {"the first ever",
       {{"sim.npz", "new"}, {k_sig_next, "new sig"}, {k_next, new_m}},
       {new_m, "new sig"},
       Recovery::completed},
      {"the first ever, its signature renamed",
       {{"sim.npz", "new"}, {k_sig, "new sig"}, {k_next, new_m}},
       {new_m, "new sig"},
       Recovery::completed},
  };
  for (const Step& step : steps) {
    INFO(step.where);
    const Place place(step.files);
    CHECK(found_in(place).manifest == step.found.manifest);
    CHECK(found_in(place).signature == step.found.signature);
    CHECK(recover_snapshot(place.npz(), at_once()) == step.recovery);
    Files expected = {{"sim.npz", step.files.at("sim.npz")}, {k_manifest, *step.found.manifest}};
    if (step.found.signature) expected[k_sig] = *step.found.signature;
    CHECK(place.files() == expected);
    CHECK(recover_snapshot(place.npz(), at_once()) == Recovery::nothing);
  }
}

TEST_CASE("SnapshotPublisher: a sequence removes a signature that never got its manifest") {
  const TemporaryDirectory directory;
  const std::string left = "run-0000000007-20260101T000000Z.npz.manifest.json.sig.next";
  std::ofstream(directory.file(left)) << "signed";
  PublishOptions options = at_once();
  options.naming = Naming::sequence;
  SnapshotPublisher publisher(directory.file("run.npz"), options);
  publisher.publish(manifest_for(""));
  CHECK_FALSE(fs::exists(directory.file(left)));
}

TEST_CASE("open_snapshot: a signature that cannot be read hides no good pair") {
  const Place place(Files{{"sim.npz", "old"}, {k_manifest, manifest_for("old")}});
  fs::create_symlink("elsewhere", place.npz() + ".manifest.json.sig");
  CHECK(found_in(place).manifest == manifest_for("old"));
  CHECK_FALSE(found_in(place).signature.has_value());
}

TEST_CASE("open_snapshot: of a huge signature only the beginning, which is none, is read") {
  const Place place(Files{{"sim.npz", "old"}, {k_manifest, manifest_for("old")}});
  std::ofstream(place.npz() + ".manifest.json.sig") << std::string(1 << 20, 's');
  CHECK(found_in(place).signature->size() == k_max_signature_file_bytes + 1);
}

}  // namespace mad
