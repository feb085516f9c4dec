#include "base/thread.hpp"

#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace mad {

std::thread try_thread(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    log_verbose(std::string("no further thread can be started: ") + error.code().message());
    return {};
  }
}

std::thread need_thread(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    throw Error(ExitCode::io, "no-thread", "a further thread",
                "cannot be started: " + error.code().message(),
                "a limit of processes (pids.max of the control group, ulimit -u) may be reached");
  }
}

}  // namespace mad
