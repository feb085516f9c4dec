#include "notice/bodies.hpp"

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/timestamp.hpp"
#include "transport/retry.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

using nlohmann::json;

/// The names in an event's Resources are the deepest that is read.
constexpr int k_deepest_in_notice = 4;
constexpr std::size_t k_max_event_id_bytes = 256;

json parse_notice_object(std::string_view body, const std::string& subject) {
  const json::parser_callback_t each = [](int depth, json::parse_event_t, json&) {
    return depth <= k_deepest_in_notice;
  };
  json object = json::parse(body, each, false);
  if (!object.is_object()) throw bad_answer(subject, "the answer is no JSON object");
  return object;
}

/// Empty where it is not there or no string.
std::string string_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Nothing for what is over.  Terminate is of scale sets: the machine is deleted.
std::optional<NoticeKind> kind_of_azure_event(const json& event) {
  const std::string status = lower_ascii(string_in(event, "EventStatus"));
  if (status == "completed" || status == "canceled" || status == "cancelled") return std::nullopt;
  const std::string type = string_in(event, "EventType");
  return type == "Preempt" || type == "Terminate" ? NoticeKind::preemption
                                                  : NoticeKind::maintenance;
}

/// As the service writes it, or as its first versions did.
std::optional<std::int64_t> not_before_of(const json& event) {
  const std::string text = string_in(event, "NotBefore");
  if (const auto date = parse_http_date(text)) return date;
  const auto time = parse_rfc3339(text);
  return time ? std::optional(time->seconds) : std::nullopt;
}

}  // namespace

AwsAction parse_aws_action(std::string_view body, const std::string& subject) {
  const json object = parse_notice_object(body, subject);
  AwsAction action;
  action.action = string_in(object, "action");
  if (action.action.empty()) throw bad_answer(subject, "the answer names no action");
  if (const auto time = parse_rfc3339(string_in(object, "time"))) action.time = time->seconds;
  return action;
}

std::string parse_aws_rebalance(std::string_view body, const std::string& subject) {
  std::string time = string_in(parse_notice_object(body, subject), "noticeTime");
  if (time.empty()) throw bad_answer(subject, "the answer has no noticeTime");
  return time;
}

std::vector<AzureEvent> parse_azure_events(std::string_view body, const std::string& subject) {
  const json document = parse_notice_object(body, subject);
  const auto list = document.find("Events");
  if (list == document.end() || !list->is_array()) {
    throw bad_answer(subject, "the answer has no list of Events");
  }
  std::vector<AzureEvent> events;
  for (const json& entry : *list) {
    if (!entry.is_object()) throw bad_answer(subject, "an event is no JSON object");
    AzureEvent event;
    event.id = string_in(entry, "EventId");
    if (event.id.empty() || event.id.size() > k_max_event_id_bytes) {
      throw bad_answer(subject, "an event has no EventId, or a very long one");
    }
    const auto kind = kind_of_azure_event(entry);
    if (!kind) continue;
    event.kind = *kind;
    event.not_before = not_before_of(entry);
    if (const auto resources = entry.find("Resources");
        resources != entry.end() && resources->is_array()) {
      for (const json& name : *resources) {
        if (name.is_string()) event.resources.push_back(name.get<std::string>());
      }
    }
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace mad
