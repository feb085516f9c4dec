#pragma once

#include <functional>
#include <thread>

namespace mad {

/// A thread that runs `body`; one that is not joinable where the system starts no more of them
/// (a control group's pids.max, RLIMIT_NPROC): then the caller does that work itself.
std::thread try_thread(std::function<void()> body);

/// For what cannot do without one.  Throws Error(io, `no-thread`).
std::thread need_thread(std::function<void()> body);

}  // namespace mad
