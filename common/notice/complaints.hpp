#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "base/error.hpp"

namespace mad {

/// What is said of a service that fails for months: each kind of failure once in a row of
/// failures, and that they are over, which three answers in a row are taken for.
class Complaints {
 public:
  explicit Complaints(std::string subject) : subject_(std::move(subject)) {}

  /// What to say of this failure; nothing where its kind (the reason, of a status the message)
  /// was said in this row.
  std::optional<std::string> failed(const Error& error);
  /// What to say of this answer; nothing but at the end of a row.
  std::optional<std::string> answered();
  /// How long to wait now: longer with each failure since the last answer, two seconds at most.
  std::chrono::milliseconds pause() const;

 private:
  std::string subject_;
  std::set<std::string> said_;
  unsigned failures_ = 0;
  unsigned answers_ = 0;
};

}  // namespace mad
