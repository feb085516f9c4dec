#include "process/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "process/target.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;

namespace {

int status_of(const std::vector<std::string>& words, const ChildCommand::Variables& set = {}) {
  return ChildCommand(words, set).wait();
}

bool polls_readable(int fd, int timeout_ms) {
  pollfd one = {fd, POLLIN, 0};
  return poll(&one, 1, timeout_ms) == 1;
}

}  // namespace

TEST_CASE("ChildCommand: its status as a shell has it") {
  CHECK(status_of({"true"}) == 0);
  CHECK(status_of({"sh", "-c", "exit 7"}) == 7);
  CHECK(status_of({"sh", "-c", "kill -KILL $$"}) == 128 + SIGKILL);
  CHECK(status_of({"no-such-command"}) == 127);
  CHECK(status_of({"/"}) == 126);
}

TEST_CASE("ChildCommand: variables are set, replaced and taken out, the others stay") {
  setenv("MAD_TEST_KEPT", "kept", 1);
  setenv("MAD_TEST_OLD", "old", 1);
  setenv("MAD_TEST_GONE", "there", 1);
  CHECK(status_of(
            {"sh", "-c",
             "[ \"$MAD_TEST_KEPT $MAD_TEST_OLD $MAD_TEST_NEW\" = 'kept new a b' ] && "
             "[ -z \"${MAD_TEST_GONE+x}\" ]"},
            {{"MAD_TEST_OLD", "new"}, {"MAD_TEST_NEW", "a b"}, {"MAD_TEST_GONE", std::nullopt}}) ==
        0);
}

TEST_CASE("ChildCommand: no descriptor of this process but the standard ones") {
  const Fd left_open(open("/dev/null", O_RDONLY));  // not close-on-exec
  REQUIRE(left_open.get() > 2);
  CHECK(status_of({"sh", "-c", "! [ -e /proc/self/fd/" + std::to_string(left_open.get()) + " ]"}) ==
        0);
}

TEST_CASE("ChildCommand: tells that it has ended, and not before") {
  const mad::test::TemporaryDirectory directory;
  const std::string fifo = directory.file("go");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  ChildCommand child({"sh", "-c", "read -r line <\"$0\" && exit \"$line\"", fifo}, {});
  CHECK(!child.status());
  CHECK(!polls_readable(child.fd(), 0));
  const Fd go(open(fifo.c_str(), O_WRONLY));
  CHECK(write(go.get(), "3\n", 2) == 2);
  CHECK(polls_readable(child.fd(), 10'000));
  CHECK(child.status() == 3);
}

TEST_CASE("TargetProcess: is signalled, and its end is seen; afterwards nobody is signalled") {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    for (;;) pause();
  }
  const TargetProcess target(pid);
  CHECK(!polls_readable(target.fd(), 0));
  CHECK(target.signal(SIGKILL));
  CHECK(polls_readable(target.fd(), 10'000));
  CHECK(waitpid(pid, nullptr, 0) == pid);
  CHECK(!target.signal(SIGKILL));
  CHECK(mad::test::error_from([&] { TargetProcess{pid}; }).reason == "no-process");
}
