#pragma once

#include <sys/types.h>

#include "io/fd.hpp"

namespace mad {

/// Another process, held by a pidfd, so that a signal never reaches one that was given its
/// number later.
class TargetProcess {
 public:
  /// Throws Error(io, `no-process`) where there is none, or output_error.
  explicit TargetProcess(pid_t pid);

  /// Polls readable once it has ended.
  int fd() const { return pidfd_.get(); }
  /// False where it has ended.  Throws output_error.
  bool signal(int signal_number) const;

 private:
  pid_t pid_;
  Fd pidfd_;
};

}  // namespace mad
