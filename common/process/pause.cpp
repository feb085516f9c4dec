#include "process/pause.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "io/fd.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

constexpr std::uint64_t k_kernel_thread_flag = 0x00200000;  // PF_KTHREAD, linux/sched.h

int signal_through(int pidfd, int signal_number) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0U));
}

std::string subject_of(pid_t pid) {
  return "process " + std::to_string(pid);
}

Error no_process(pid_t pid) {
  return {ExitCode::io, "no-process", subject_of(pid), "there is no such process"};
}

/// What proc(5) says of a process or thread in `stat`.
struct ProcStat {
  char state = '?';
  pid_t parent = 0;
  std::uint64_t flags = 0;
};

std::optional<ProcStat> read_stat(int directory, const std::string& name) {
  const Fd file(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 4096> buffer;
  const ssize_t n = read(file.get(), buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(n));
  // The command's name stands in parentheses and may hold any byte: count from its end.
  const auto end = text.rfind(')');
  if (end == std::string_view::npos || end + 2 >= text.size()) return std::nullopt;
  const auto fields = split(text.substr(end + 2), ' ');
  if (fields.size() < 7 || fields[0].size() != 1) return std::nullopt;
  ProcStat stat;
  stat.state = fields[0][0];
  stat.parent = static_cast<pid_t>(parse_decimal(fields[1]).value_or(0));
  stat.flags = parse_decimal(fields[6]).value_or(0);
  return stat;
}

struct Held {
  pid_t pid = 0;
  Fd pidfd;
  /// /proc/PID, which stays with this process whatever becomes of the number.
  Fd proc;
  bool was_stopped = false;
};

Held open_process(pid_t pid) {
  Held held;
  held.pid = pid;
  held.pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  if (!held.pidfd) {
    // EINVAL, ENOENT: the number is a thread's.
    if (errno == ESRCH || errno == EINVAL || errno == ENOENT) throw no_process(pid);
    throw output_error("open", subject_of(pid), errno);
  }
  held.proc =
      Fd(open(("/proc/" + std::to_string(pid)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto stat = held.proc ? read_stat(held.proc.get(), "stat") : std::nullopt;
  // Alive now, so the number was its own when /proc was opened, too.
  if (!stat || stat->state == 'Z' || stat->state == 'X') throw no_process(pid);
  if (signal_through(held.pidfd.get(), 0) != 0) {
    if (errno == ESRCH) throw no_process(pid);
    throw output_error("signal", subject_of(pid), errno);
  }
  if ((stat->flags & k_kernel_thread_flag) != 0) {
    throw Error(ExitCode::usage, "usage", subject_of(pid), "a kernel thread cannot be held");
  }
  held.was_stopped = stat->state == 'T';
  return held;
}

bool is_self_or_ancestor(pid_t pid) {
  const Fd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (pid_t at = getpid(); at > 0;) {
    if (at == pid) return true;
    const auto stat = read_stat(proc.get(), std::to_string(at) + "/stat");
    if (!stat) return false;
    at = stat->parent;
  }
  return false;
}

enum class Motion { moving, still, gone };

/// `t` is a stop too: what SIGSTOP becomes under a tracer.
Motion motion_of(const Held& held) {
  const Fd tasks(openat(held.proc.get(), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tasks) return Motion::gone;
  bool alive = false;
  try {
    for (const std::string& thread : list_directory(tasks.get(), subject_of(held.pid))) {
      const auto stat = read_stat(tasks.get(), thread + "/stat");
      if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
      if (stat->state != 'T' && stat->state != 't') return Motion::moving;
      alive = true;
    }
  } catch (const Error&) {
    return Motion::gone;  // /proc/PID/task of a process that was reaped meanwhile
  }
  return alive ? Motion::still : Motion::gone;
}

void wait_until_still(const Held& held, int timeout_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  // Twice in a row: a thread may have been cloned behind the first look's back.
  for (int still = 0; still < 2;) {
    check_interrupted();
    const Motion motion = motion_of(held);
    if (motion == Motion::gone) throw no_process(held.pid);
    if (motion == Motion::still) {
      ++still;
      continue;
    }
    still = 0;
    if (std::chrono::steady_clock::now() >= end) {
      throw Error(
          ExitCode::io, "pause-timeout", subject_of(held.pid),
          "did not stop within " + std::to_string(timeout_ms) + " ms",
          "a thread of it may be blocked in the kernel, on a dead network disk for example");
    }
    pollfd wake = {interrupt_fd(), POLLIN, 0};
    poll(&wake, 1, 1);
  }
}

/// The guardian's life; only async-signal-safe calls.  `pidfds` were opened before the
/// fork; everything else this process had open is closed, or a pipe's reader would wait
/// for the guardian as well.
[[noreturn]] void guard(int channel, int far_end, const std::vector<int>& keep) {
  close(far_end);  // close_range(2) may be missing, and holding this one would wait for itself
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  prctl(PR_SET_NAME, "mad-guardian");
  if (chdir("/") != 0) _exit(1);
  // `keep` is sorted and holds the channel.
  unsigned int from = 0;
  for (const int fd : keep) {
    const auto number = static_cast<unsigned int>(fd);
    if (number > from) syscall(SYS_close_range, from, number - 1, 0U);
    from = number + 1;
  }
  syscall(SYS_close_range, from, ~0U, 0U);

  char byte = 'r';
  if (write(channel, &byte, 1) != 1) _exit(1);
  while (read(channel, &byte, 1) < 0 && errno == EINTR) {
  }
  int failed = 0;
  for (const int fd : keep) {
    if (fd != channel && signal_through(fd, SIGCONT) != 0 && errno != ESRCH) failed = 1;
  }
  _exit(failed);
}

}  // namespace

struct PausedProcesses::State {
  std::vector<Held> held;
  Fd channel;
  pid_t guardian = -1;

  void start_guardian();
  void let_go() noexcept;
};

void PausedProcesses::State::start_guardian() {
  std::array<int, 2> ends = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw output_error("create", "a channel to the guardian", errno);
  }
  channel = Fd(ends[0]);
  const Fd far(ends[1]);
  std::vector<int> keep = {far.get()};
  for (const Held& one : held) {
    if (!one.was_stopped) keep.push_back(one.pidfd.get());
  }
  std::sort(keep.begin(), keep.end());
  guardian = fork();
  if (guardian < 0) throw output_error("start", "the guardian of the held processes", errno);
  if (guardian == 0) guard(far.get(), channel.get(), keep);
}

void PausedProcesses::State::let_go() noexcept {
  if (guardian < 0) return;
  channel = Fd();
  int status = 0;
  pid_t ended = -1;
  while ((ended = waitpid(guardian, &status, 0)) < 0 && errno == EINTR) {
  }
  const bool done = ended == guardian && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  guardian = -1;
  if (done) return;
  for (const Held& one : held) {
    if (!one.was_stopped) signal_through(one.pidfd.get(), SIGCONT);
  }
}

PausedProcesses::PausedProcesses(const std::vector<pid_t>& pids, int timeout_ms)
    : state_(std::make_unique<State>()) {
  std::vector<pid_t> each = pids;
  std::sort(each.begin(), each.end());
  each.erase(std::unique(each.begin(), each.end()), each.end());
  for (const pid_t pid : each) {
    if (pid < 2) {
      throw Error(ExitCode::usage, "usage", subject_of(pid), "expected a process above 1 to hold");
    }
    if (is_self_or_ancestor(pid)) {
      throw Error(
          ExitCode::usage, "usage", subject_of(pid),
          "this is " + tool_name() + " itself or an ancestor of it, which would never go on");
    }
    state_->held.push_back(open_process(pid));
  }
  if (state_->held.empty()) return;

  state_->start_guardian();
  try {
    char byte = 0;
    if (read_some(state_->channel.get(), MutableBytes(reinterpret_cast<std::byte*>(&byte), 1),
                  "the guardian of the held processes") != 1) {
      throw Error(ExitCode::io, "io-error", "the guardian of the held processes", "did not start");
    }
    for (const Held& one : state_->held) {
      if (signal_through(one.pidfd.get(), SIGSTOP) == 0) continue;
      if (errno == ESRCH) throw no_process(one.pid);
      throw output_error("stop", subject_of(one.pid), errno);
    }
    for (const Held& one : state_->held) wait_until_still(one, timeout_ms);
  } catch (...) {
    state_->let_go();
    throw;
  }
}

PausedProcesses::~PausedProcesses() {
  release();
}

void PausedProcesses::check_still_held() const {
  for (const Held& one : state_->held) {
    if (motion_of(one) != Motion::moving) continue;
    throw Error(ExitCode::refused, "state-changed", subject_of(one.pid),
                "expected it to stand still, found it running: something else sent it SIGCONT");
  }
}

void PausedProcesses::release() noexcept {
  state_->let_go();
}

}  // namespace mad
