#include "resume/journal.hpp"

#include <map>
#include <string>

#include "io/file.hpp"
#include "support/catch.hpp"
#include "unit/resume/directory.hpp"

using mad::Durability;
using mad::Error;
using mad::ExitCode;
using mad::Fd;
using mad::JournalPlan;
using mad::test::Directory;
using mad::test::error_from;
using Files = std::map<std::string, std::string>;

namespace {

const Files k_old = {{"a/x.npy", "old x"}, {"a/y.npy", "old y"}, {"note", "mine"}};
const Files k_new = {{"a/x.npy", "new x"}, {"b/c/z.npy", "new z"}, {"note", "mine"}};

/// A state of which `a/x` is replaced, `a/y` leaves and `b/c/z` comes.
struct State : Directory {
  State() {
    for (const auto& [path, text] : k_old) write(path, text);
    write("scratch/new/a/x.npy", "new x");
    write("scratch/new/b/c/z.npy", "new z");
    fd = mad::open_directory(path().string());
  }
  void swap(const JournalPlan& plan) const {
    mad::swap_under_journal(fd.get(), "scratch", plan, Durability::full, "state");
  }
  void roll_back() const { mad::roll_back_journal(fd.get(), "retired", Durability::full, "state"); }
  Files visible() const {
    Files found;
    for (const auto& [path, text] : files()) {
      if (path.rfind("scratch/", 0) != 0 && path.rfind("retired/", 0) != 0) found[path] = text;
    }
    return found;
  }
  Fd fd;
};

const JournalPlan k_plan = {{"a/x.npy", "a/y.npy"}, {"a/x.npy", "b/c/z.npy"}, {"b", "b/c"}};

}  // namespace

TEST_CASE("swap_under_journal: the old arrays leave, the new ones come, the rest stays") {
  const State state;
  state.swap(k_plan);
  CHECK(state.visible() == k_new);
  CHECK_FALSE(mad::has_journal(state.fd.get()));
  CHECK(state.has("scratch/old/a/y.npy"));
}

TEST_CASE("swap_under_journal: an array that cannot come puts everything back") {
  const State state;
  state.write("b/c/z.npy", "somebody's");
  const Error error = error_from([&] { state.swap({k_plan.leaving, k_plan.coming, {}}); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == "state-invalid");
  Files expected = k_old;
  expected["b/c/z.npy"] = "somebody's";
  CHECK(state.visible() == expected);
  CHECK_FALSE(mad::has_journal(state.fd.get()));
}

TEST_CASE("swap_under_journal: an array that is gone puts everything back") {
  const State state;
  std::filesystem::remove(state.path() / "a/y.npy");
  error_from([&] { state.swap(k_plan); });
  CHECK(state.visible() == Files{{"a/x.npy", "old x"}, {"note", "mine"}});
  CHECK_FALSE(state.has("b"));
  CHECK_FALSE(mad::has_journal(state.fd.get()));
}

TEST_CASE("roll_back_journal: a finished swap whose commit was lost is taken back") {
  const State state;
  state.swap(k_plan);
  std::filesystem::rename(state.path() / "scratch", state.path() / ".mad-swap");
  state.roll_back();
  CHECK(state.visible() == k_old);
  CHECK_FALSE(state.has("b"));
  CHECK(state.has("retired"));
}

TEST_CASE("roll_back_journal: runs again after it was interrupted") {
  const State state;
  state.swap(k_plan);
  std::filesystem::rename(state.path() / "scratch", state.path() / ".mad-swap");
  // As far as a rollback that was killed had come.
  std::filesystem::rename(state.path() / ".mad-swap/old/a/x.npy", state.path() / "a/x.npy");
  state.roll_back();
  CHECK(state.visible() == k_old);
}

TEST_CASE("roll_back_journal: a journal whose plan is damaged is left for a person") {
  for (const char* plan : {"", "-a/x.npy", "+../../etc/passwd", "+/etc/passwd"}) {
    CAPTURE(plan);
    const State state;
    state.write(".mad-swap/plan", plan);
    const Error error = error_from([&] { state.roll_back(); });
    CHECK(error.code == ExitCode::start_refused);
    CHECK(error.reason == "state-unsettled");
    CHECK(mad::has_journal(state.fd.get()));
  }
}

TEST_CASE("roll_back_journal: a plan does not reach out of the directory") {
  for (const std::string path : {"../victim", "/tmp/victim", "a/../../victim", ".hidden/x"}) {
    CAPTURE(path);
    const State state;
    state.write(".mad-swap/plan", "+" + path + std::string(1, '\0') + "end");
    CHECK(error_from([&] { state.roll_back(); }).code == ExitCode::start_refused);
  }
}
