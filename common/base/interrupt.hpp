#pragma once

#include <string>

namespace mad {

/// Thrown where a signal asks the tool to end, so that every destructor on the
/// way out removes its temporary; tool_main then dies of the same signal.
/// Deliberately not a std::exception: nothing but tool_main may swallow it.
struct Interrupted {
  int signal_number;
};

/// Makes SIGINT, SIGTERM, SIGHUP and SIGQUIT set a flag and wake every wait on
/// interrupt_fd(), and ignores SIGPIPE and SIGXFSZ (writes report EPIPE and EFBIG instead).  A
/// signal that was ignored at start stays ignored.
void install_interrupt_handlers();

/// A descriptor that polls readable once a signal has arrived or the deadline (deadline.hpp)
/// has passed; never read it.  -1 before install_interrupt_handlers(), and in PastDeadline.
int interrupt_fd();

/// Throws Interrupted when a signal has arrived, DeadlinePassed when the deadline has passed.
void check_interrupted();

/// What a handler does with a signal that ends the tool.  Async-signal-safe.
void note_ending_signal(int signal_number) noexcept;
/// Ends every wait on interrupt_fd(); forget_wakes() undoes it, but for signals.
/// Async-signal-safe.
void wake_waiters() noexcept;
void forget_wakes() noexcept;

/// Puts the dispositions and the mask back as the process found them, for exec.
void restore_original_signals();

/// Ends the process by `signal_number` with the default action.
[[noreturn]] void die_of_signal(int signal_number);

}  // namespace mad
