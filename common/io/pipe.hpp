#pragma once

#include <string>

namespace mad {

/// Asks for a pipe buffer of 1 MiB, which saves context switches; does nothing
/// where `fd` is no pipe or the system refuses.
void widen_pipe(int fd);

/// Refuses (code usage) to write a bundle to, or read one from, a terminal.
void refuse_terminal(int fd, const std::string& what);

}  // namespace mad
