#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/fd.hpp"

namespace mad {

/// A command that runs beside this process, found on PATH as execvp(3) does.
///
/// It gets standard input from /dev/null, standard error as its standard output too, no other
/// descriptor (Linux 5.9 and newer), the original signals, and this process's environment with
/// `variables` set, or taken out where they have no value.  It is let be where this object goes
/// before it has ended.
class ChildCommand {
 public:
  using Variables = std::vector<std::pair<std::string, std::optional<std::string>>>;
  /// Throws output_error where no process could be made.
  ChildCommand(const std::vector<std::string>& words, const Variables& variables);

  /// Polls readable once it has ended; -1 where the kernel has no such descriptor.
  int fd() const { return pidfd_.get(); }
  /// Nothing while it runs, then its status as a shell has it: 128 and the number of the
  /// signal that ended it, 127 where there is no such command, 126 where it could not be
  /// executed.
  std::optional<int> status();
  /// The same, once it has ended; no signal ends the wait.
  int wait();

 private:
  std::optional<int> reap_child(int options);

  pid_t pid_ = -1;
  Fd pidfd_;
};

}  // namespace mad
