#include "retention/place_names.hpp"

#include "support/catch.hpp"

namespace {

using namespace mad;

std::string part_of(const char* name) {
  const auto part = parse_part_name(name);
  return part ? part->npz + " " + std::to_string(static_cast<int>(part->part)) : "none";
}

std::string work_of(const char* name) {
  const auto work = parse_work_name(name);
  return work ? work->npz + " " + std::to_string(static_cast<int>(work->kind)) : "none";
}

}  // namespace

TEST_CASE("parse_part_name: each part of a snapshot leads to its npz") {
  CHECK(part_of("a.npz") == "a.npz 0");
  CHECK(part_of("a.npz.manifest.json") == "a.npz 1");
  CHECK(part_of("a.npz.manifest.json.next") == "a.npz 2");
  CHECK(part_of("a.npz.manifest.json.sig") == "a.npz 3");
  CHECK(part_of("a.npz.manifest.json.sig.next") == "a.npz 4");
  CHECK(part_of("a.npz.manifest.json.npz") == "a.npz.manifest.json.npz 0");
}

TEST_CASE("parse_part_name: other names are none of a snapshot's") {
  for (const char* name :
       {"", ".npz", "a", "a.npy", ".npz.manifest.json", "a.manifest.json", "a.npz.next", "d/a.npz",
        "a.npz.manifest.json.next.sig", ".a.npz.mad-abcdefgh", "a.npz.bak"}) {
    INFO(name);
    CHECK(part_of(name) == "none");
  }
}

TEST_CASE("parse_work_name: what writers and fetches work on, and nothing else") {
  CHECK(work_of(".a.npz.mad-abcdefg7") == "a.npz 0");
  CHECK(work_of(".a.npz.mad-partial") == "a.npz 1");
  CHECK(work_of(".a.npz.mad-partial.parts") == "a.npz 2");
  for (const char* name :
       {"", ".mad-abcdefgh", "a.npz.mad-abcdefgh", ".a.npz.mad-abcdefg", ".a.npz.mad-abcdefghi",
        ".a.npz.mad-ABCDEFGH", ".a.npz.mad-abcdefg8", ".a.json.mad-abcdefgh", ".a.npz.mad-partial.",
        ".d/a.npz.mad-abcdefgh"}) {
    INFO(name);
    CHECK(work_of(name) == "none");
  }
}

TEST_CASE("is_made_up_name: a name that a person gave is nobody's to remove") {
  CHECK(is_made_up_name("snapshot-0000000001-20260131T120000Z.npz"));
  CHECK(is_made_up_name("a-b-9999999999-20260131T120000Z.npz"));
  CHECK(is_made_up_name("sim-after-failed-20260131T120000Z.npz"));
  for (const char* name :
       {"", "mesh.npz", "snapshot.npz", "-0000000001-20260131T120000Z.npz",
        "-after-failed-20260131T120000Z.npz", "s-000000001-20260131T120000Z.npz",
        "s-0000000001-20260131T120000.npz", "s-0000000001-2026013T120000Z.npz",
        "s-0000000001-20260131T120000Z.npz.manifest.json", "s-00000000o1-20260131T120000Z.npz"}) {
    INFO(name);
    CHECK_FALSE(is_made_up_name(name));
  }
}
