#include "process/run.hpp"

#include <sys/wait.h>

#include "support/catch.hpp"

using namespace mad;

TEST_CASE("capture_shell: what the command writes, and how it ended") {
  const ShellRun run = capture_shell("printf 'a b'; printf c >&2; exit 3", 10'000, 100);
  CHECK(run.end == ShellEnd::exited);
  CHECK(WEXITSTATUS(run.wait_status) == 3);
  CHECK(run.output == "a b");
}

TEST_CASE("capture_shell: more output than it takes kills the command") {
  CHECK(capture_shell("printf 1234", 10'000, 4).end == ShellEnd::exited);
  CHECK(capture_shell("printf 12345", 10'000, 4).end == ShellEnd::too_long);
  CHECK(capture_shell("exec yes", 10'000, 100'000).end == ShellEnd::too_long);
}

TEST_CASE("capture_shell: a command that does not end is killed with all it started") {
  const ShellRun run = capture_shell("sleep 1000 & printf $!; wait", 500, 100);
  CHECK(run.end == ShellEnd::timed_out);
  // The group went with one signal; when each dies, and who reaps an orphan, is the system's
  // affair.
  const std::string alive =
      "kill -0 " + run.output + " && ! grep -q ') Z' /proc/" + run.output + "/stat";
  CHECK(WEXITSTATUS(
            *run_shell("exec 2>/dev/null; while " + alive + "; do sleep 0.01; done", 10'000)) == 0);
}

TEST_CASE("capture_shell: does not wait for what the shell left in the background") {
  const ShellRun run = capture_shell("sleep 1000 & printf $!", 10'000, 100);
  CHECK(run.end == ShellEnd::exited);
  CHECK(WEXITSTATUS(*run_shell("kill " + run.output, 10'000)) == 0);
}
