#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mad {

/// What proc(5) says of a process or thread in `stat`.
struct ProcStat {
  /// `T` is stopped, `t` too, under a tracer; `Z` and `X` have ended.
  char state = '?';
  pid_t parent = 0;
  std::uint64_t flags = 0;

  bool has_ended() const { return state == 'Z' || state == 'X'; }
};

/// Reads `name`, a `stat` file below the open `directory`; nothing where it is gone.
std::optional<ProcStat> read_proc_stat(int directory, const std::string& name);

/// Whether /proc/PID, open as `proc`, is a process's, and not that of a thread of one.
bool is_process(int proc, pid_t pid);

/// The children of all threads of the process whose /proc/PID is open as `proc`, exact where it
/// stands still.  Nothing where this kernel does not list them (CONFIG_PROC_CHILDREN).  Throws
/// Error(io) about `subject`, also where the process goes meanwhile.
std::optional<std::vector<pid_t>> listed_children(int proc, const std::string& subject);

/// The same from every process's parent: slower, on any kernel.
std::vector<pid_t> children_by_parent(pid_t parent);

}  // namespace mad
