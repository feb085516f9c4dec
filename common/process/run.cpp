#include "process/run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "io/fd.hpp"

namespace mad {
namespace {

[[noreturn]] void become_shell(const char* command) {
  setpgid(0, 0);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    _exit(126);
  }
  restore_original_signals();
  execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  _exit(127);
}

int reap(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::optional<int> run_shell(const std::string& command, int timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  const pid_t child = fork();
  if (child < 0) throw output_error("start", "/bin/sh", errno);
  if (child == 0) become_shell(command.c_str());
  // Both set it: whichever comes first, the group exists before it could be killed.
  setpgid(child, child);

  // Where the kernel has no pidfd, poll(2) passes over the -1 and is asked often.
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0U)));
  try {
    for (;;) {
      check_interrupted();
      int status = 0;
      if (waitpid(child, &status, WNOHANG) == child) return status;
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) break;
      std::array<pollfd, 2> both = {{{pidfd.get(), POLLIN, 0}, {interrupt_fd(), POLLIN, 0}}};
      poll(both.data(), both.size(), pidfd ? static_cast<int>(left) + 1 : 10);
    }
  } catch (...) {
    kill(-child, SIGKILL);
    reap(child);
    throw;
  }
  kill(-child, SIGKILL);
  reap(child);
  return std::nullopt;
}

}  // namespace mad
