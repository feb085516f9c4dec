#include "resume/unpack.hpp"

#include <string>
#include <vector>

#include "io/file.hpp"
#include "support/catch.hpp"
#include "unit/resume/directory.hpp"

using mad::Durability;
using mad::Fd;
using mad::NpzMember;
using mad::NpzMembers;
using mad::test::Directory;
using mad::test::error_from;

namespace {

NpzMembers members(const std::vector<std::string>& keys) {
  NpzMembers result;
  for (const std::string& key : keys) {
    NpzMember member;
    member.key = key;
    result.push_back(member);
  }
  return result;
}

std::string reason(const std::vector<std::string>& keys) {
  return error_from([&] { mad::require_distinct_paths(members(keys), "sim.npz"); }).reason;
}

}  // namespace

TEST_CASE("require_distinct_paths: keys that cannot all be files are refused") {
  CHECK_NOTHROW(mad::require_distinct_paths(members({"a/b", "a/b/c", "a.npy/b", "a/c"}), "x"));
  CHECK(reason({"a/b", "a/b.npy/c"}) == "member-collision");
  CHECK(reason({"a/b.npy/c/d", "a/b"}) == "member-collision");
  CHECK(reason({"a/b", "c/d", "a/b"}) == "member-duplicate");
}

TEST_CASE("require_distinct_paths: keys that no reader of a state would see are refused") {
  CHECK(reason({".a/b"}) == "member-name");
  CHECK(reason({"a/.b"}) == "member-name");
  CHECK(reason({"a/b/.c/d"}) == "member-name");
}

TEST_CASE("link_others: links what is no array and refuses what stands in the way") {
  const Directory old;
  old.write("node/x.npy", "array");
  old.write("node/note", "note");
  old.write("only/there/y.npy", "array");
  old.write("only/there/note", "note");
  old.write("logs/today/file", "log");
  const Fd from = mad::open_directory(old.path().string());
  const mad::StateListing listing = mad::list_state(from.get(), "state");
  CHECK(listing.arrays.size() == 2);
  CHECK(listing.others == std::vector<std::string>{"logs", "node/note", "only/there/note"});

  const Directory fresh;
  const Fd tree = mad::open_directory(fresh.path().string());
  REQUIRE(mad::link_others(from.get(), listing, tree.get(), Durability::none, "state"));
  CHECK(fresh.files() == std::map<std::string, std::string>{{"logs/today/file", "log"},
                                                            {"node/note", "note"},
                                                            {"only/there/note", "note"}});

  for (const char* in_the_way : {"node/note", "logs", "logs/today/file"}) {
    CAPTURE(in_the_way);
    const Directory blocked;
    blocked.write(in_the_way, "array");
    const Fd other = mad::open_directory(blocked.path().string());
    const mad::Error error = error_from(
        [&] { mad::link_others(from.get(), listing, other.get(), Durability::none, "state"); });
    CHECK(error.reason == "state-invalid");
  }
}
