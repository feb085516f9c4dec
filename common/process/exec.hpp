#pragma once

#include <string>
#include <vector>

#include "base/exit_code.hpp"

namespace mad {

/// Runs `command` in the place of this process, found on PATH as execvp(3) does.
///
/// It gets standard input from /dev/null, the signal mask and dispositions that this
/// process was started with, this process's environment, and exactly the descriptors
/// that this process was given: everything the toolkit opens is close-on-exec.  A
/// signal that arrives on the way is not lost: either Interrupted is thrown, or it
/// meets the original disposition.
///
/// Returns only where that fails, having said so: command_not_found (127) where there
/// is no such file, else cannot_execute (126), as env(1).  Destructors do not run on
/// success: hold nothing that must be undone.
ExitCode exec_command(const std::vector<std::string>& command);

}  // namespace mad
