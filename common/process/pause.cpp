#include "process/pause.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "io/fd.hpp"
#include "io/file.hpp"
#include "process/proc.hpp"

namespace mad {
namespace {

constexpr std::size_t k_most_processes = 16384;
constexpr std::uint64_t k_kernel_thread_flag = 0x00200000;  // PF_KTHREAD, linux/sched.h

/// By what a process is signalled: its pidfd or, where the kernel has none (before 5.3) or a
/// filter of system calls keeps them back, its number for as long as `fd`, its /proc/PID opened
/// before, is there.
struct Handle {
  int fd = -1;
  pid_t pid = 0;
  bool is_pidfd = true;
};

/// As kill(2).
int send_signal(const Handle& to, int signal_number) {
  if (to.is_pidfd) {
    return static_cast<int>(syscall(SYS_pidfd_send_signal, to.fd, signal_number, nullptr, 0U));
  }
  if (!read_proc_stat(to.fd, "stat")) {
    errno = ESRCH;
    return -1;
  }
  return kill(to.pid, signal_number);
}

/// EPERM: filters say that, too.
bool is_without_pidfds(int error) {
  return error == ENOSYS || error == EPERM || error == EACCES;
}

std::string subject_of(pid_t pid) {
  return "process " + std::to_string(pid);
}

Error no_process(pid_t pid) {
  return {ExitCode::io, "no-process", subject_of(pid), "there is no such process"};
}

struct Held {
  pid_t pid = 0;
  /// None where there are no pidfds.
  Fd pidfd;
  /// /proc/PID, which stays with this process whatever becomes of the number.
  Fd proc;
  bool was_stopped = false;

  Handle handle() const {
    return {pidfd ? pidfd.get() : proc.get(), pid, static_cast<bool>(pidfd)};
  }
};

/// None where it has ended.  The first thread's own `stat` does not tell: main() may have left
/// with pthread_exit(3), and the others run on.
std::vector<ProcStat> living_threads(const Held& held) {
  std::vector<ProcStat> living;
  const Fd tasks(openat(held.proc.get(), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tasks) return living;
  try {
    for (const std::string& thread : list_directory(tasks.get(), subject_of(held.pid))) {
      const auto stat = read_proc_stat(tasks.get(), thread + "/stat");
      if (stat && !stat->has_ended()) living.push_back(*stat);
    }
  } catch (const Error&) {
    return {};  // /proc/PID/task of a process that was reaped meanwhile
  }
  return living;
}

Held open_process(pid_t pid) {
  Held held;
  held.pid = pid;
  held.pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  if (!held.pidfd && !is_without_pidfds(errno)) {
    // EINVAL, ENOENT: the number is a thread's.
    if (errno == ESRCH || errno == EINVAL || errno == ENOENT) throw no_process(pid);
    throw output_error("open", subject_of(pid), errno);
  }
  held.proc =
      Fd(open(("/proc/" + std::to_string(pid)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!held.proc && access("/proc/self", F_OK) != 0) {
    throw Error(ExitCode::io, "io-error", "/proc",
                "is not mounted; without it no process can be seen to stand still");
  }
  if (held.proc && !is_process(held.proc.get(), pid)) throw no_process(pid);
  const auto threads = living_threads(held);
  // Alive now, so the number was its own when /proc was opened, too.
  if (threads.empty()) throw no_process(pid);
  if (held.pidfd && send_signal(held.handle(), 0) != 0 && is_without_pidfds(errno)) {
    held.pidfd = Fd();
  }
  if (send_signal(held.handle(), 0) != 0) {
    if (errno == ESRCH) throw no_process(pid);
    throw output_error("signal", subject_of(pid), errno);
  }
  if ((threads.front().flags & k_kernel_thread_flag) != 0) {
    throw Error(ExitCode::usage, "usage", subject_of(pid), "a kernel thread cannot be held");
  }
  held.was_stopped = std::any_of(threads.begin(), threads.end(),
                                 [](const ProcStat& one) { return one.state == 'T'; });
  return held;
}

bool is_self_or_ancestor(pid_t pid) {
  const Fd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (pid_t at = getpid(); at > 0;) {
    if (at == pid) return true;
    const auto stat = read_proc_stat(proc.get(), std::to_string(at) + "/stat");
    if (!stat) return false;
    at = stat->parent;
  }
  return false;
}

enum class Motion { moving, still, gone };

/// `t` is a stop too: what SIGSTOP becomes under a tracer.
Motion motion_of(const Held& held) {
  const auto threads = living_threads(held);
  const auto stands = [](const ProcStat& one) { return one.state == 'T' || one.state == 't'; };
  if (threads.empty()) return Motion::gone;
  return std::all_of(threads.begin(), threads.end(), stands) ? Motion::still : Motion::moving;
}

/// False where it is gone.
bool wait_until_still(const Held& held, int timeout_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  // Twice in a row: a thread may have been cloned behind the first look's back.
  for (int still = 0; still < 2;) {
    check_interrupted();
    const Motion motion = motion_of(held);
    if (motion == Motion::gone) return false;
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
  return true;
}

/// Of a process that stands still.
std::vector<pid_t> children_of(const Held& held) {
  try {
    if (auto children = listed_children(held.proc.get(), subject_of(held.pid))) {
      return std::move(*children);
    }
    return children_by_parent(held.pid);
  } catch (const Error&) {
    if (motion_of(held) != Motion::gone) throw;
    return {};
  }
}

/// None where it has ended, or the number is no child of that process any more.
std::optional<Held> open_child(pid_t pid, pid_t parent) {
  try {
    Held child = open_process(pid);
    const auto stat = read_proc_stat(child.proc.get(), "stat");
    if (stat && stat->parent == parent) return child;
  } catch (const Error& error) {
    if (error.reason != "no-process") throw;
  }
  return std::nullopt;
}

/// Two descriptors a process held: the usual 1024 would do for some 500.
void allow_many_files() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, 2 * k_most_processes + 256);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// A process's number, and room for a descriptor beside it (unix(7)).
struct FdMessage {
  FdMessage() {
    header.msg_iov = &payload;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  FdMessage(const FdMessage&) = delete;
  FdMessage& operator=(const FdMessage&) = delete;

  struct {
    pid_t pid;
    bool is_pidfd;
  } process = {};
  iovec payload = {&process, sizeof process};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control = {};
  msghdr header = {};
};

void tell_guardian(int channel, const Handle& handle) {
  FdMessage message;
  message.process = {handle.pid, handle.is_pidfd};
  cmsghdr* rights = CMSG_FIRSTHDR(&message.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof handle.fd);
  std::memcpy(CMSG_DATA(rights), &handle.fd, sizeof handle.fd);
  while (sendmsg(channel, &message.header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) throw output_error("tell the guardian of", subject_of(handle.pid), errno);
  }
}

/// Nothing where the other end is closed.
std::optional<Handle> hear_of_process(int channel) {
  FdMessage message;
  ssize_t n = 0;
  while ((n = recvmsg(channel, &message.header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  const cmsghdr* rights = n > 0 ? CMSG_FIRSTHDR(&message.header) : nullptr;
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) return std::nullopt;
  Handle handle;
  handle.pid = message.process.pid;
  handle.is_pidfd = message.process.is_pidfd;
  std::memcpy(&handle.fd, CMSG_DATA(rights), sizeof handle.fd);
  return handle;
}

/// The guardian's life.  Everything else this process had open is closed, or a pipe's
/// reader would wait for the guardian as well.
[[noreturn]] void guard(int channel, int far_end) {
  close(far_end);  // close_range(2) may be missing, and holding this one would wait for itself
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  prctl(PR_SET_NAME, "mad-guardian");
  if (chdir("/") != 0) _exit(1);
  const auto number = static_cast<unsigned int>(channel);
  if (number > 0) syscall(SYS_close_range, 0U, number - 1, 0U);
  syscall(SYS_close_range, number + 1, ~0U, 0U);

  std::vector<Handle> held;
  const char ready = 'r';
  while (write(channel, &ready, 1) == 1) {
    const auto next = hear_of_process(channel);
    if (!next) break;
    held.push_back(*next);
  }
  int failed = 0;
  for (const Handle& one : held) {
    if (send_signal(one, SIGCONT) != 0 && errno != ESRCH) failed = 1;
  }
  _exit(failed);
}

}  // namespace

struct PausedProcesses::State {
  std::vector<Held> held;
  Fd channel;
  pid_t guardian = -1;

  void start_guardian();
  void await_guardian() const;
  void let_go() noexcept;
  bool stop(const Held& one) const;
  void hold(int timeout_ms);
  void hold_below(std::size_t from, std::size_t end);
};

void PausedProcesses::State::start_guardian() {
  std::array<int, 2> ends = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw output_error("create", "a channel to the guardian", errno);
  }
  channel = Fd(ends[0]);
  const Fd far(ends[1]);
  guardian = fork();
  if (guardian < 0) throw output_error("start", "the guardian of the held processes", errno);
  if (guardian == 0) guard(far.get(), channel.get());
}

/// Returns when it has started, or has what it was sent.
void PausedProcesses::State::await_guardian() const {
  std::byte ready{};
  const std::string subject = "the guardian of the held processes";
  if (read_some(channel.get(), MutableBytes(&ready, 1), subject) != 1) {
    throw Error(ExitCode::io, "io-error", subject, "has ended");
  }
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
    if (!one.was_stopped) send_signal(one.handle(), SIGCONT);
  }
}

/// False where it is gone.
bool PausedProcesses::State::stop(const Held& one) const {
  if (!one.was_stopped) {
    tell_guardian(channel.get(), one.handle());
    await_guardian();
  }
  if (send_signal(one.handle(), SIGSTOP) == 0) return true;
  if (errno == ESRCH) return false;
  throw output_error("stop", subject_of(one.pid), errno);
}

/// Stops what `held` begins with, then what is below it, a generation at a time.
void PausedProcesses::State::hold(int timeout_ms) {
  const std::size_t named = held.size();
  for (std::size_t from = 0; from < held.size();) {
    const std::size_t end = held.size();
    for (std::size_t i = from; i < end; ++i) {
      if (!stop(held[i]) && i < named) throw no_process(held[i].pid);
    }
    for (std::size_t i = from; i < end; ++i) {
      if (!wait_until_still(held[i], timeout_ms) && i < named) throw no_process(held[i].pid);
    }
    hold_below(from, end);
    from = end;
  }
}

/// Appends the children of held[from] to held[end - 1], which stand still.
void PausedProcesses::State::hold_below(std::size_t from, std::size_t end) {
  for (std::size_t i = from; i < end; ++i) {
    for (const pid_t pid : children_of(held[i])) {
      const auto known = [pid](const Held& one) { return one.pid == pid; };
      if (std::any_of(held.begin(), held.end(), known)) continue;
      if (held.size() == k_most_processes) {
        throw Error(ExitCode::io, "too-many-processes", subject_of(held.front().pid),
                    "expected at most " + std::to_string(k_most_processes) +
                        " processes to hold still, found more below it");
      }
      if (auto child = open_child(pid, held[i].pid)) held.push_back(std::move(*child));
    }
  }
}

PausedProcesses::PausedProcesses(const std::vector<pid_t>& pids, int timeout_ms)
    : state_(std::make_unique<State>()) {
  std::vector<pid_t> each = pids;
  std::sort(each.begin(), each.end());
  each.erase(std::unique(each.begin(), each.end()), each.end());
  if (each.empty()) return;
  allow_many_files();
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

  state_->start_guardian();
  try {
    state_->await_guardian();
    state_->hold(timeout_ms);
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
