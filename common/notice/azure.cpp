#include "notice/azure.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "credentials/service.hpp"
#include "notice/bodies.hpp"
#include "transport/http_calls.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::chrono::milliseconds k_azure_interval{800};
constexpr std::chrono::milliseconds k_azure_first_timeout{150'000};
/// The events of a whole scale set are in one answer, with the names of its machines.
constexpr std::size_t k_max_events_bytes = std::size_t{1} << 20U;
constexpr const char* k_events = "/metadata/scheduledevents?api-version=2020-07-01";
constexpr const char* k_name = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";

std::string azure_url(const NoticeSettings& settings, const char* path) {
  return (settings.endpoint.empty() ? k_metadata_address : settings.endpoint) + path;
}

HttpAsk azure_ask(const std::string& url, std::chrono::milliseconds timeout) {
  HttpAsk ask = metadata_ask(url, timeout);
  ask.headers.emplace_back("Metadata", Secret("true"));
  return ask;
}

class AzureFeed final : public Feed {
 public:
  AzureFeed(Surroundings surroundings, const NoticeSettings& settings)
      : surroundings_(std::move(surroundings)),
        events_url_(azure_url(settings, k_events)),
        name_url_(azure_url(settings, k_name)),
        interval_(settings.interval.count() != 0 ? settings.interval : k_azure_interval),
        name_(lower_ascii(settings.vm_name)) {}

  std::vector<Notice> ask() override {
    std::optional<Error> unnamed;
    if (name_.empty()) unnamed = learn_name();
    const TimedAnswer timed_answer = timed(surroundings_, [this] {
      HttpAsk ask = azure_ask(events_url_, answered_ ? k_metadata_timeout : k_azure_first_timeout);
      ask.max_answer_bytes = k_max_events_bytes;
      return surroundings_.http->ask(ask);
    });
    if (timed_answer.answer.status != 200) {
      throw status_error(subject(), timed_answer.answer.status);
    }
    const std::string body(timed_answer.answer.body.reveal());
    const auto events = parse_azure_events(body, subject());
    answered_ = true;
    // Before the events count as seen.
    if (unnamed) throw Error(*unnamed);
    std::vector<Notice> notices;
    std::set<std::string> standing;
    for (const AzureEvent& event : events) {
      if (!befalls_us(event) || !standing.insert(event.id).second) continue;
      if (standing_.count(event.id) != 0) continue;
      notices.push_back(notice_of(event, timed_answer.clock_ahead_s, body));
    }
    standing_ = std::move(standing);
    return notices;
  }

  std::string subject() const override { return printable(events_url_); }
  std::chrono::milliseconds interval() const override { return interval_; }

 private:
  std::optional<Error> learn_name() {
    try {
      const HttpAnswer answer = surroundings_.http->ask(azure_ask(name_url_, k_metadata_timeout));
      if (answer.status != 200) return status_error(printable(name_url_), answer.status);
      if (!is_token(answer.body.reveal())) {
        return bad_answer(printable(name_url_), "expected this machine's name");
      }
      name_ = lower_ascii(answer.body.reveal());
      return std::nullopt;
    } catch (const Error& error) {
      return error;
    }
  }

  bool befalls_us(const AzureEvent& event) const {
    return std::any_of(event.resources.begin(), event.resources.end(),
                       [&](const std::string& name) { return lower_ascii(name) == name_; });
  }

  Notice notice_of(const AzureEvent& event, std::int64_t clock_ahead, const std::string& body) {
    const std::int64_t now = surroundings_.now();
    Notice notice;
    notice.cloud = Cloud::azure;
    notice.kind = event.kind;
    notice.deadline = std::max(now, event.not_before.value_or(0) - clock_ahead);
    notice.event_id = event.id;
    notice.body = body;
    return notice;
  }

  Surroundings surroundings_;
  std::string events_url_;
  std::string name_url_;
  std::chrono::milliseconds interval_;
  std::string name_;
  bool answered_ = false;
  /// The EventIds of the last answer that befall this machine.
  std::set<std::string> standing_;
};

}  // namespace

Feeds azure_feeds(const Surroundings& surroundings, const NoticeSettings& settings) {
  Feeds feeds;
  feeds.push_back(std::make_unique<AzureFeed>(surroundings, settings));
  return feeds;
}

void acknowledge_azure_event(const Surroundings& surroundings, const NoticeSettings& settings,
                             const std::string& event_id) {
  HttpAsk ask = azure_ask(azure_url(settings, k_events), k_metadata_timeout);
  ask.method = "POST";
  ask.headers.emplace_back("Content-Type", Secret("application/json"));
  ask.body = Secret("{\"StartRequests\":[{\"EventId\":" + json_quote(event_id) + "}]}");
  const HttpAnswer answer = ask_service(surroundings, ask, printable(ask.url));
  if (!is_success(answer.status)) throw status_error(printable(ask.url), answer.status);
}

}  // namespace mad
