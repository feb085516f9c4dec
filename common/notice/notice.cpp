#include "notice/notice.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/tool.hpp"

namespace mad {
namespace {

constexpr std::array<NoticeKind, 3> k_kinds = {NoticeKind::preemption, NoticeKind::rebalance,
                                               NoticeKind::maintenance};

/// Nothing is executed with a variable of 128 KiB (MAX_ARG_STRLEN).
constexpr std::size_t k_max_variable_bytes = std::size_t{64} << 10U;

}  // namespace

std::optional<Cloud> parse_cloud(std::string_view word) {
  for (const Cloud cloud : {Cloud::aws, Cloud::gcp, Cloud::azure}) {
    if (name_of(cloud) == word) return cloud;
  }
  return std::nullopt;
}

std::string_view name_of(Cloud cloud) {
  switch (cloud) {
    case Cloud::aws:
      return "aws";
    case Cloud::gcp:
      return "gcp";
    default:
      return "azure";
  }
}

std::string_view name_of(NoticeKind kind) {
  switch (kind) {
    case NoticeKind::preemption:
      return "preemption";
    case NoticeKind::rebalance:
      return "rebalance";
    default:
      return "maintenance";
  }
}

std::vector<NoticeKind> parse_notice_kinds(std::string_view list) {
  std::vector<NoticeKind> kinds;
  for (const std::string_view word : split(list, ',')) {
    const auto kind = std::find_if(k_kinds.begin(), k_kinds.end(),
                                   [&](NoticeKind one) { return name_of(one) == word; });
    if (kind == k_kinds.end()) {
      usage_error("--on: expected preemption, rebalance, maintenance, with commas, found " +
                  printable(list, 60));
    }
    kinds.push_back(*kind);
  }
  return kinds;
}

std::string format_notice(const Notice& notice) {
  std::string line = "{\"provider\":" + json_quote(name_of(notice.cloud));
  line += ",\"kind\":" + json_quote(name_of(notice.kind));
  line += ",\"deadline\":" + (notice.deadline ? std::to_string(*notice.deadline) : "null");
  if (!notice.event_id.empty()) line += ",\"event_id\":" + json_quote(notice.event_id);
  return line + ",\"body\":" + json_quote(notice.body) + "}\n";
}

NoticeVariables notice_variables(const Notice& notice, std::int64_t now) {
  const std::string deadline = notice.deadline ? std::to_string(*notice.deadline) : std::string();
  // A NUL ends a variable's value.
  const auto value = [](const std::string& text) {
    return text.size() > k_max_variable_bytes ? "" : text.substr(0, text.find('\0'));
  };
  NoticeVariables variables = {{"MAD_NOTICE_PROVIDER", std::string(name_of(notice.cloud))},
                               {"MAD_NOTICE_KIND", std::string(name_of(notice.kind))},
                               {"MAD_NOTICE_DEADLINE", deadline},
                               {"MAD_NOTICE_EVENT_ID", value(notice.event_id)},
                               {"MAD_NOTICE_BODY", value(notice.body)}};
  if (notice.deadline) {
    variables.emplace_back("MAD_DEADLINE",
                           *notice.deadline > now ? std::optional(deadline) : std::nullopt);
  }
  return variables;
}

}  // namespace mad
