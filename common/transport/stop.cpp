#include "transport/stop.hpp"

#include <sys/eventfd.h>

#include <cerrno>

#include "base/error.hpp"

namespace mad {

Stop::Stop() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_) throw system_error("make", "an event descriptor", errno);
}

void Stop::request() noexcept {
  requested_ = true;
  eventfd_write(event_.get(), 1);
}

void Stop::clear() noexcept {
  eventfd_t count = 0;
  eventfd_read(event_.get(), &count);
  requested_ = false;
}

}  // namespace mad
