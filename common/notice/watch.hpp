#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "io/fd.hpp"
#include "notice/complaints.hpp"
#include "notice/feed.hpp"
#include "transport/stop.hpp"

namespace mad {

/// Asks feeds, each in a thread of its own, for as long as it exists.
///
/// No failure ends it: what a feed throws is said (log_warning) as Complaints has it, and the
/// feed is asked again.  Needs the same memory always, as long as notices are taken.  A signal
/// ends its threads.
class Watch {
 public:
  /// `stop` is that of the feeds' own calls: it is requested for them to end.
  Watch(Feeds feeds, std::shared_ptr<Stop> stop);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Polls readable while there are notices.
  int fd() const { return event_.get(); }
  /// Those that came since the last call, in their order.
  std::vector<Notice> take();

 private:
  void end();
  void follow(Feed& feed) noexcept;
  /// Asks once and says what is to be said; gives how long to wait then.
  std::chrono::milliseconds ask(Feed& feed, Complaints& complaints);
  void put(std::vector<Notice> notices);

  Feeds feeds_;
  std::shared_ptr<Stop> stop_;
  Fd event_;
  std::mutex mutex_;
  std::vector<Notice> notices_;
  std::vector<std::thread> threads_;
};

}  // namespace mad
