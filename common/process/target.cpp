#include "process/target.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "base/error.hpp"

namespace mad {

TargetProcess::TargetProcess(pid_t pid)
    : pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U))) {
  if (pidfd_) return;
  const std::string subject = "process " + std::to_string(pid);
  // EINVAL, ENOENT: the number is a thread's.
  if (errno == ESRCH || errno == EINVAL || errno == ENOENT) {
    throw Error(ExitCode::io, "no-process", subject, "there is no such process");
  }
  throw output_error("open", subject, errno);
}

bool TargetProcess::signal(int signal_number) const {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0U) == 0) return true;
  if (errno == ESRCH) return false;
  throw output_error("signal", "process " + std::to_string(pid_), errno);
}

}  // namespace mad
