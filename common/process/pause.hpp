#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

namespace mad {

/// Holds processes, and all that are below them, still while it exists, and lets them go
/// however this process ends.
///
/// Each gets SIGSTOP through a pidfd, so that a reused PID is never hit (where there are none,
/// by its number after a look at its /proc/PID, which has been open since it was found), and
/// construction returns when every thread of every one of them has really stopped.
/// What is below is looked up generation by generation once those above stand still, and
/// so cannot start another; a process below that has ended by then needs no holding, and
/// one whose parent has left it to process 1 is not found.  A kernel that does not list a
/// process's children (CONFIG_PROC_CHILDREN) is asked for every process's parent instead.
/// A guardian, forked before the first SIGSTOP, in a session of its own and deaf to
/// signals, is given each process's descriptor before the process is stopped, over a socket whose
/// other end only this process holds: when that closes, by release(), destruction or death (SIGKILL
/// included), the guardian sends SIGCONT. A process that was stopped before stays stopped
/// afterwards.
///
/// Construct before threads are started (it forks).  Throws Error(usage) for PIDs that
/// must not be held: below 2, this process, its ancestors, kernel threads; Error(io):
/// `no-process` where one of `pids` is not there (any more), `permission`, `pause-timeout`
/// where a thread did not stop in time (blocked in the kernel), `too-many-processes` above
/// 16384.  On any throw all are let go.
class PausedProcesses {
 public:
  explicit PausedProcesses(const std::vector<pid_t>& pids, int timeout_ms = 10'000);
  ~PausedProcesses();
  PausedProcesses(const PausedProcesses&) = delete;
  PausedProcesses& operator=(const PausedProcesses&) = delete;

  /// Throws Error(refused, `state-changed`) where one of them runs again, because
  /// somebody else sent it SIGCONT: what was read meanwhile may be of two instants.
  /// One that was killed meanwhile has stopped for good, and passes.
  void check_still_held() const;

  /// Lets go; returns when SIGCONT has been sent.  Once is enough, twice is harmless.
  void release() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
