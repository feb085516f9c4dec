#pragma once

namespace mad {

/// Sees to it that descriptors 0 to 2 exist, or a file opened later would take their place.
/// Where standard output or standard error was closed, writing there fails (EBADF): what went
/// nowhere is not to be taken for written.  False where that cannot be had.
bool fill_standard_streams();

/// For a command that is executed next: what was closed takes whatever is written, as /dev/null
/// does.  Async-signal-safe.
void let_closed_outputs_take_all() noexcept;

}  // namespace mad
