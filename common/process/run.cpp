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
#include "base/streams.hpp"
#include "io/fd.hpp"

namespace mad {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void become_shell(const char* command, int output) {
  setpgid(0, 0);
  let_closed_outputs_take_all();
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0) _exit(126);
  restore_original_signals();
  execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  _exit(127);
}

pid_t start_shell(const std::string& command, int output) {
  const pid_t child = fork();
  if (child < 0) throw output_error("start", "/bin/sh", errno);
  if (child == 0) become_shell(command.c_str(), output);
  // Both set it: whichever comes first, the group exists before it could be killed.
  setpgid(child, child);
  return child;
}

int reap(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

/// Appends what there is to read; false where it comes to more than `max_bytes`.  `fd`
/// becomes -1 at the end of the output.
bool drain(int& fd, std::string& into, std::size_t max_bytes) {
  std::array<char, 4096> buffer;
  while (fd >= 0) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) fd = -1;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) continue;
    if (static_cast<std::size_t>(n) > max_bytes - into.size()) return false;
    into.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return true;
}

/// Waits for the end of `child` and reads `output` (-1: none) meanwhile.
ShellRun supervise(pid_t child, int timeout_ms, int output, std::size_t max_bytes) {
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  // Where the kernel has no pidfd, poll(2) passes over the -1 and is asked often.
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0U)));
  ShellRun run;
  // So that it never moves: what it holds may be secret, and is wiped in one place.
  run.output.reserve(max_bytes);
  try {
    for (;;) {
      check_interrupted();
      const bool ended = waitpid(child, &run.wait_status, WNOHANG) == child;
      if (!drain(output, run.output, max_bytes)) {
        run.end = ShellEnd::too_long;
        break;
      }
      if (ended) return run;
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) {
        run.end = ShellEnd::timed_out;
        break;
      }
      std::array<pollfd, 3> all = {
          {{pidfd.get(), POLLIN, 0}, {interrupt_fd(), POLLIN, 0}, {output, POLLIN, 0}}};
      poll(all.data(), all.size(), pidfd ? static_cast<int>(left) + 1 : 10);
    }
  } catch (...) {
    kill(-child, SIGKILL);
    reap(child);
    throw;
  }
  kill(-child, SIGKILL);
  reap(child);
  return run;
}

}  // namespace

std::optional<int> run_shell(const std::string& command, int timeout_ms) {
  const ShellRun run = supervise(start_shell(command, STDERR_FILENO), timeout_ms, -1, 0);
  if (run.end == ShellEnd::timed_out) return std::nullopt;
  return run.wait_status;
}

ShellRun capture_shell(const std::string& command, int timeout_ms, std::size_t max_bytes) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw output_error("make", "a pipe", errno);
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  const pid_t child = start_shell(command, writing.get());
  writing = Fd();
  return supervise(child, timeout_ms, reading.get(), max_bytes);
}

}  // namespace mad
