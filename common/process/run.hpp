#pragma once

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

}  // namespace mad
