#include "npz/state_tree.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "npz/npz_member.hpp"
#include "unit/npz/archive_builder.hpp"
#include "unit/npz/state_directory.hpp"

namespace mad::test {
namespace {

Error refusal_of_tree(const std::string& path) {
  return error_from([&] { const StateTree tree(path); });
}

std::vector<std::string> keys(const StateTree& tree) {
  std::vector<std::string> all;
  for (const StateArray& array : tree.arrays()) all.push_back(array.key);
  return all;
}

}  // namespace

TEST_CASE("StateTree finds every array, sorted bytewise by key") {
  StateDirectory state;
  for (const char* key : {"b/x", "a/z", "a/b/c", "a-/x", "_meta/step_count", "B/x", "\xC3\xA9/x"}) {
    state.add(key, small_npy());
  }
  state.add_file(".hidden/x.npy", "no array");
  state.add_file("a/.tmp.npy", "no array");
  std::filesystem::create_directory(state.path() + "/empty");
  const StateTree tree(state.path());
  CHECK(keys(tree) == std::vector<std::string>{"B/x", "_meta/step_count", "a-/x", "a/b/c", "a/z",
                                               "b/x", "\xC3\xA9/x"});
  CHECK(tree.arrays()[0].size_bytes == small_npy().size());
  CHECK(tree.arrays()[0].header.descr == "'<i4'");
  tree.check_unchanged();
}

TEST_CASE("StateTree puts first what it is told, and says what it does not have") {
  StateDirectory state;
  for (const char* key : {"a/x", "b/x", "c/x", "d/x"}) state.add(key, small_npy());
  StateTree tree(state.path());
  CHECK(tree.put_first({"d/x", "no/such", "b/x", "d/x"}) == std::vector<std::string>{"no/such"});
  CHECK(keys(tree) == std::vector<std::string>{"d/x", "b/x", "a/x", "c/x"});
  for (const StateArray& array : tree.arrays()) CHECK(tree.open(array));
  tree.check_unchanged();
  std::filesystem::remove(state.path() + "/a/x.npy");
  CHECK(error_from([&] { tree.check_unchanged(); }).reason == "state-changed");
}

TEST_CASE("StateTree resolves a link to the state once, and stays with what it found") {
  StateDirectory state;
  state.add("one/n/x", small_npy());
  state.add("two/n/y", small_npy());
  const std::string link = state.path() + "/current";
  std::filesystem::create_directory_symlink(state.path() + "/one", link);
  const StateTree tree(link);
  std::filesystem::remove(link);
  std::filesystem::create_directory_symlink(state.path() + "/two", link);
  CHECK(keys(tree) == std::vector<std::string>{"n/x"});
  CHECK(tree.open(tree.arrays()[0]));
  tree.check_unchanged();
}

TEST_CASE("StateTree refuses what cannot be part of a state, and names it") {
  StateDirectory state;
  state.add("n/good", small_npy());
  std::string reason = "state-invalid";
  std::string subject = "n/bad";
  std::string what;
  const std::string path = state.path() + "/n/bad";
  SECTION("a symbolic link") {
    REQUIRE(symlink("good.npy", path.c_str()) == 0);
    what = "a symbolic link";
  }
  SECTION("a symbolic link to a directory") {
    REQUIRE(symlink("/", path.c_str()) == 0);
    what = "a symbolic link";
  }
  SECTION("a FIFO") {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    what = "a FIFO";
  }
  SECTION("a file that is no .npy") {
    state.add_file("n/bad", "text");
    what = "without .npy";
  }
  SECTION("a file named only .npy's suffix away") {
    subject = "bad.npy";
    state.add_file("bad.npy", small_npy());
    what = "no '/'";
  }
  SECTION("a backslash in a name") {
    subject = "n/b\\ad.npy";
    state.add_file(subject, small_npy());
    what = "backslash";
  }
  SECTION("an object array") {
    subject = "n/bad.npy";
    state.add_file(subject, npy("'|O'", "(1,)", "pickle"));
    reason = "npy-object";
    what = "objects";
  }
  SECTION("a header that promises more") {
    subject = "n/bad.npy";
    state.add_file(subject, npy("'<f8'", "(3,)", "12345678"));
    reason = "npy-size";
    what = "24 of data ('<f8', shape (3,)), found 136 bytes in all";
  }
  SECTION("bytes after the array") {
    subject = "n/bad.npy";
    state.add_file(subject, small_npy() + "x");
    reason = "npy-size";
    what = "found 137 bytes";
  }
  SECTION("no header") {
    subject = "n/bad.npy";
    state.add_file(subject, "");
    reason = "npy-invalid";
    what = "magic";
  }
  SECTION("too many levels") {
    subject = "n/d";
    std::string deep = "n";
    for (int i = 0; i < 70; ++i) deep += "/d";
    std::filesystem::create_directories(state.path() + '/' + deep);
    what = "levels";
  }
  const Error error = refusal_of_tree(state.path());
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == reason);
  CHECK(error.subject.rfind(state.path() + '/' + subject, 0) == 0);
  INFO(error.message);
  CHECK(error.message.find(what) != std::string::npos);
}

TEST_CASE("StateTree tells a state that is missing from one that is none") {
  const StateDirectory state;
  const Error missing = refusal_of_tree(state.path() + "/nowhere");
  CHECK(missing.code == ExitCode::not_found);
  CHECK(missing.reason == "state-missing");
  const Error file = refusal_of_tree("/dev/null");
  CHECK(file.code == ExitCode::refused);
  CHECK(file.reason == "state-invalid");
}

TEST_CASE("StateTree notices every change after the walk") {
  StateDirectory state;
  state.add("n/x", small_npy());
  state.add("n/y", small_npy());
  const StateTree tree(state.path());
  tree.check_unchanged();
  bool opens = false;
  SECTION("a file is written in place") {
    state.add("n/x", npy("'<i4'", "(2,)", "87654321"));
  }
  SECTION("a file is replaced by its like") {
    state.add_file("n/.new", small_npy());
    std::filesystem::rename(state.path() + "/n/.new", state.path() + "/n/x.npy");
  }
  SECTION("a file is removed") {
    std::filesystem::remove(state.path() + "/n/x.npy");
  }
  SECTION("a file becomes a link") {
    std::filesystem::rename(state.path() + "/n/x.npy", state.path() + "/n/.x");
    std::filesystem::create_symlink(".x", state.path() + "/n/x.npy");
  }
  SECTION("a file is added") {
    state.add("n/z", small_npy());
    opens = true;
  }
  if (opens) {
    CHECK(tree.open(tree.arrays()[0]));
  } else {
    const Error error = error_from([&] { tree.open(tree.arrays()[0]); });
    CHECK(error.reason == "state-changed");
    CHECK(error.subject == state.path() + "/n/x.npy");
  }
  const Error error = error_from([&] { tree.check_unchanged(); });
  CHECK(error.code == ExitCode::refused);
  CHECK((error.reason == "state-changed" || error.reason == "state-invalid"));
}

TEST_CASE("key_defect accepts node/field and says what is wrong with the rest") {
  for (const char* good : {"a/b", "a/b/c", "_meta/step_count", "a b/c d", "...a/b", "a/b.npy"}) {
    CHECK(key_defect(good).empty());
  }
  for (const char* bad : {"", "a", "/a", "a/", "a//b", "./a", "a/..", "a\\/b", "a/\x1f", "a/\x7f",
                          "a/\xC0\x80", "a/\xED\xA0\x80"}) {
    INFO(bad);
    CHECK_FALSE(key_defect(bad).empty());
  }
  CHECK(key_defect("a/" + std::string(251, 'x')).empty());
  CHECK_FALSE(key_defect("a/" + std::string(252, 'x')).empty());
  CHECK(key_defect(std::string(255, 'x') + "/a").empty());
  CHECK_FALSE(key_defect(std::string(256, 'x') + "/a").empty());
  CHECK(is_meta_key("_meta/step_count"));
  CHECK_FALSE(is_meta_key("_metal/x"));
}

}  // namespace mad::test
