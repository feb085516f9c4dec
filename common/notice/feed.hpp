#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "notice/notice.hpp"

namespace mad {

/// One question that a metadata service is asked over and over.  One thread at a time.
class Feed {
 public:
  virtual ~Feed() = default;
  /// Asks once, and gives what the answer before did not say.  Throws Error(remote) where no
  /// answer came, or none that can be understood; nothing is missed by that, the next ask()
  /// gives what is new since the last answer that was.
  virtual std::vector<Notice> ask() = 0;
  /// What is asked, for messages.
  virtual std::string subject() const = 0;
  /// How long to wait after an answer before the next ask().
  virtual std::chrono::milliseconds interval() const = 0;
};

using Feeds = std::vector<std::unique_ptr<Feed>>;

}  // namespace mad
