#include "notice/watch.hpp"

#include <sys/eventfd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/thread.hpp"
#include "notice/complaints.hpp"
#include "transport/retry.hpp"

namespace mad {
Watch::Watch(Feeds feeds, std::shared_ptr<Stop> stop)
    : feeds_(std::move(feeds)),
      stop_(std::move(stop)),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_) throw output_error("make", "an event descriptor", errno);
  try {
    for (const auto& feed : feeds_) {
      threads_.push_back(need_thread([this, &feed] { follow(*feed); }));
    }
  } catch (...) {
    end();
    throw;
  }
}

Watch::~Watch() {
  end();
}

void Watch::end() {
  stop_->request();
  for (std::thread& thread : threads_) thread.join();
}

std::vector<Notice> Watch::take() {
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  eventfd_read(event_.get(), &count);
  return std::exchange(notices_, {});
}

void Watch::put(std::vector<Notice> notices) {
  if (notices.empty()) return;
  const std::lock_guard lock(mutex_);
  for (Notice& notice : notices) notices_.push_back(std::move(notice));
  eventfd_write(event_.get(), 1);
}

std::chrono::milliseconds Watch::ask(Feed& feed, Complaints& complaints) {
  const auto failed = [&](const Error& error) {
    if (const auto words = complaints.failed(error)) log_warning(*words);
    return complaints.pause();
  };
  try {
    put(feed.ask());
    if (const auto words = complaints.answered()) log_note(*words);
    return feed.interval();
  } catch (const Error& error) {
    return failed(error);
  } catch (const std::exception& error) {
    return failed({ExitCode::bug, "bug", feed.subject(), error.what()});
  }
}

void Watch::follow(Feed& feed) noexcept {
  Complaints complaints(feed.subject());
  try {
    for (;;) interruptible_sleep(ask(feed, complaints), stop_.get());
  } catch (...) {
    // Stop, a signal, a deadline: the thread that waits for notices sees to it.
  }
}

}  // namespace mad
