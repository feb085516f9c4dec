#include "notice/complaints.hpp"

#include <algorithm>

namespace mad {
namespace {

constexpr unsigned k_answers_to_be_well = 3;
constexpr std::chrono::milliseconds k_first_pause{50};
constexpr std::chrono::milliseconds k_longest_pause{2000};

}  // namespace

std::optional<std::string> Complaints::failed(const Error& error) {
  answers_ = 0;
  failures_ = std::min(failures_ + 1, 16U);
  // Messages of libcurl hold times, and would be new each time.
  const std::string kind = error.reason + (error.reason == "http-status" ? error.message : "");
  if (!said_.insert(kind).second) return std::nullopt;
  return error.one_line() + "; asking on";
}

std::optional<std::string> Complaints::answered() {
  failures_ = 0;
  if (said_.empty() || ++answers_ < k_answers_to_be_well) return std::nullopt;
  said_.clear();
  answers_ = 0;
  return subject_ + ": answers again";
}

std::chrono::milliseconds Complaints::pause() const {
  return std::min(k_first_pause * (1U << std::min(failures_, 8U)) / 2, k_longest_pause);
}

}  // namespace mad
