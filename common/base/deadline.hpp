#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace mad {

/// Thrown where the deadline asks the tool to end, like Interrupted: so that every
/// destructor on the way out takes back what is unfinished, and deliberately not a
/// std::exception.  tool_main turns it into exit code 10.
struct DeadlinePassed {};

/// What becomes of a process that has not ended by itself when the deadline is there.
enum class DeadlineEnd {
  hard,  ///< it is ended: _exit(10) shortly before, SIGKILL at the deadline
  soft,  ///< it is let be, because what follows (a command to start) matters more
};

/// The whole process has one deadline.  The work ends a margin before it, a quarter of the
/// time but 50 ms to a second, in which an upload is aborted, temporaries are removed,
/// and the report is written: then check_interrupted() throws DeadlinePassed, and every
/// wait on interrupt_fd() ends.
///
/// Timers, not a thread: a thread would not be in the sandbox that the tool enters later.
/// They are the process's own: neither a child nor a program run in its place has them.
/// `left` may be zero or negative.  After install_interrupt_handlers().
void set_deadline(std::chrono::nanoseconds left, DeadlineEnd end);

/// From here on there is none, also where it has passed: what follows is not bounded by it.
void end_deadline();

bool has_deadline();
/// Until the work has to end; negative afterwards, nothing without a deadline.
std::optional<std::chrono::nanoseconds> time_left();

/// Throws DeadlinePassed; called by check_interrupted().
void check_deadline();

/// Error(deadline, `deadline-passed`); says so where it had passed when it was set.
Error deadline_error();

/// While it exists, what this thread does is not ended by the deadline: under a hard end for the
/// first half of the margin, for a last word to whoever reads our output; under a soft one for as
/// long as it takes, for what must not be left half done.
class PastDeadline {
 public:
  PastDeadline();
  ~PastDeadline();
  PastDeadline(const PastDeadline&) = delete;
  PastDeadline& operator=(const PastDeadline&) = delete;
};
/// Whether this thread is in it.
bool past_deadline();

/// Seconds, as `90` or `0.25`; nothing for a sign, an exponent, or more than eleven digits
/// before the point, which are a time in milliseconds.
std::optional<std::chrono::nanoseconds> parse_seconds(std::string_view text);

/// The earlier of `option` (seconds from now) and $MAD_DEADLINE (UNIX time) as the
/// time that is left; nothing where there is neither.  Throws Error(usage) for a bad option; a
/// bad $MAD_DEADLINE is warned of and passed over: whoever is about to lose the machine is
/// helped by a snapshot, not by a refusal.
std::optional<std::chrono::nanoseconds> chosen_deadline(const std::optional<std::string>& option);

/// Whether $MAD_DEADLINE is a time that has passed, or all but.
bool outlived_deadline();

}  // namespace mad
