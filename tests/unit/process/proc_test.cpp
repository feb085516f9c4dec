#include "process/proc.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "io/fd.hpp"
#include "io/file.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad::test {
namespace {

pid_t fork_sleeper() {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(60);  // where the test dies
    for (;;) pause();
  }
  return pid;
}

void end(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

Fd proc_of(pid_t pid) {
  return open_directory("/proc/" + std::to_string(pid));
}

}  // namespace

TEST_CASE("listed_children, children_by_parent: both find the children of every thread") {
  std::vector<pid_t> mine = {fork_sleeper(), fork_sleeper()};
  std::thread([&] { mine.push_back(fork_sleeper()); }).join();
  std::ranges::sort(mine);

  auto listed = listed_children(proc_of(getpid()).get(), "this test");
  auto found = children_by_parent(getpid());
  for (const pid_t pid : mine) end(pid);

  std::ranges::sort(found);
  CHECK(found == mine);
  if (listed) {  // not on each kernel
    std::ranges::sort(*listed);
    CHECK(*listed == mine);
  }
  CHECK(children_by_parent(getpid()).empty());
}

TEST_CASE("listed_children: a kernel that lists none is told from a process that has none") {
  // What looks like /proc/PID, of such a kernel.
  const TemporaryDirectory here;
  for (const char* name : {"task", "task/7"}) REQUIRE(mkdir(here.file(name).c_str(), 0700) == 0);
  const Fd proc = open_directory(here.path());
  CHECK(listed_children(proc.get(), "here") == std::vector<pid_t>());  // that thread is gone
  write_text(here.file("task/7/stat"), "7 (a b) S 1 7 7 0 -1 4194304 0");
  CHECK_FALSE(listed_children(proc.get(), "here"));
  write_text(here.file("task/7/children"), "12 13 ");
  CHECK(listed_children(proc.get(), "here") == std::vector<pid_t>{12, 13});
}

TEST_CASE("read_proc_stat: counts the fields behind whatever the command is called") {
  const TemporaryDirectory here;
  write_text(here.file("stat"), "42 (a) Z 9 (b)) T 17 42 42 0 -1 64 0\n");
  const auto stat = read_proc_stat(open_directory(here.path()).get(), "stat");
  REQUIRE(stat);
  CHECK(stat->state == 'T');
  CHECK(stat->parent == 17);
  CHECK(stat->flags == 64);
  CHECK_FALSE(stat->has_ended());
  CHECK_FALSE(read_proc_stat(open_directory(here.path()).get(), "none"));
}

}  // namespace mad::test
