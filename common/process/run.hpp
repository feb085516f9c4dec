#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace mad {

/// Runs `command` through /bin/sh -c, in a process group of its own, for at most
/// `timeout_ms`: standard input from /dev/null, its output to standard error, the
/// original signals, this process's environment.
///
/// Returns its wait status, or nothing where the time was over and the whole group was
/// killed.  What the shell left running in the background when it ended in time is let
/// be.  A signal to this process kills the group and throws Interrupted.  Throws
/// Error(io) where it could not be started.
std::optional<int> run_shell(const std::string& command, int timeout_ms);

enum class ShellEnd { exited, timed_out, too_long };

struct ShellRun {
  ShellEnd end = ShellEnd::exited;
  int wait_status = 0;  ///< where it exited
  std::string output;   ///< may hold secrets; the caller wipes it
};

/// Like run_shell, with what the command writes to standard output: until its shell has
/// ended, at most `max_bytes`.  Where the time is over or there is more, the whole group
/// is killed.
ShellRun capture_shell(const std::string& command, int timeout_ms, std::size_t max_bytes);

}  // namespace mad
