#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "credentials/cloud.hpp"

namespace mad {

enum class NoticeKind {
  preemption,   ///< the machine is taken away
  rebalance,    ///< it may soon be: advice, half of which never comes true (AWS)
  maintenance,  ///< it is restarted, moved, held still for a while
};

/// What a cloud tells one of its machines, once.
struct Notice {
  Cloud cloud = Cloud::aws;
  NoticeKind kind = NoticeKind::preemption;
  /// When it happens, in seconds since the epoch by this machine's own clock; nothing where
  /// the cloud does not say, as of every rebalance.
  std::optional<std::int64_t> deadline;
  /// The cloud's own name for the event; empty where it has none.
  std::string event_id;
  /// The service's answer as it came, at most 1 MiB.
  std::string body;
};

/// `aws`, `gcp`, `azure`; nothing for any other word.
std::optional<Cloud> parse_cloud(std::string_view word);
std::string_view name_of(Cloud cloud);
std::string_view name_of(NoticeKind kind);

/// `preemption,rebalance,maintenance` or some of them.  Throws Error(usage).
std::vector<NoticeKind> parse_notice_kinds(std::string_view list);

/// One JSON object on a line: `provider`, `kind` and `deadline` (a number or null) in this
/// order, `event_id` where there is one, then `body`, a string.
std::string format_notice(const Notice& notice);

/// What a command that is run for `notice` finds in its environment: MAD_NOTICE_PROVIDER,
/// _KIND, _DEADLINE, _EVENT_ID and _BODY, empty where there is none or it is longer than 64 KiB
/// (Linux takes no variable of twice that), and, where there is a deadline, MAD_DEADLINE: without a
/// value, so to be taken out of the environment, where it is not after `now`, for one that is over
/// would only keep the command from trying.
using NoticeVariables = std::vector<std::pair<std::string, std::optional<std::string>>>;
NoticeVariables notice_variables(const Notice& notice, std::int64_t now);

}  // namespace mad
