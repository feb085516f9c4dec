#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "notice/notice.hpp"

namespace mad {

/// What the services' answers hold, read from bytes that nobody vouches for.  What is no such
/// answer is Error(remote, `bad-answer`) about `subject`.

/// `{"action":"terminate","time":"2017-09-18T08:22:00Z"}`, of spot/instance-action.
struct AwsAction {
  std::string action;
  /// Nothing where the time is missing or cannot be read: that the machine goes is what counts.
  std::optional<std::int64_t> time;
};
AwsAction parse_aws_action(std::string_view body, const std::string& subject);

/// The `noticeTime` of a rebalance recommendation, as it is written.
std::string parse_aws_rebalance(std::string_view body, const std::string& subject);

/// One of the Events of a Scheduled Events document (api-version 2020-07-01).
struct AzureEvent {
  std::string id;
  NoticeKind kind = NoticeKind::maintenance;
  /// Nothing once it has started, or where it cannot be read: it may happen at any moment.
  std::optional<std::int64_t> not_before;
  /// The machines that it befalls, by their names.
  std::vector<std::string> resources;
};
/// Completed and cancelled ones are left out.
std::vector<AzureEvent> parse_azure_events(std::string_view body, const std::string& subject);

}  // namespace mad
