#include "notice/gcp.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "credentials/encoding.hpp"
#include "credentials/service.hpp"
#include "transport/http_calls.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds k_gcp_wait{5};
constexpr std::int64_t k_gcp_preemption_s = 30;
constexpr std::int64_t k_gcp_maintenance_s = 60;
/// After an answer that came at once although nothing had changed, or without an ETag.
constexpr std::chrono::milliseconds k_gcp_interval{500};

std::string_view without_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// `TRUE`, `MIGRATE_ON_HOST_MAINTENANCE` and their like.
bool is_gcp_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == std::string_view::npos;
}

class GcpFeed final : public Feed {
 public:
  GcpFeed(Surroundings surroundings, const NoticeSettings& settings, NoticeKind kind)
      : surroundings_(std::move(surroundings)),
        kind_(kind),
        quiet_(kind == NoticeKind::preemption ? "FALSE" : "NONE"),
        url_((settings.endpoint.empty() ? gcp_endpoint(surroundings_) : settings.endpoint) +
             "/computeMetadata/v1/instance/" +
             (kind == NoticeKind::preemption ? "preempted" : "maintenance-event")),
        interval_(settings.interval.count() != 0 ? settings.interval : k_gcp_interval),
        value_(quiet_) {}

  std::vector<Notice> ask() override {
    const auto begin = Clock::now();
    const HttpAnswer answer = surroundings_.http->ask(question());
    if (answer.status != 200) throw status_error(subject(), answer.status);
    // Another cloud's service or a portal would answer something, too.
    if (answer.find("metadata-flavor") != "Google") {
      throw bad_answer(subject(), "the answer is not of Google's metadata server");
    }
    const std::string value(without_blanks(answer.body.reveal()));
    if (!is_gcp_word(value) ||
        (kind_ == NoticeKind::preemption && value != "TRUE" && value != quiet_)) {
      throw bad_answer(subject(), "expected a word such as " + quiet_ + ", found another answer");
    }
    const std::string etag(answer.find("etag").value_or(""));
    etag_ = is_token(etag) ? etag : "";
    const bool changed = value != value_;
    value_ = value;
    at_once_ = etag_.empty() || (!changed && Clock::now() - begin < k_gcp_interval);
    if (!changed || value == quiet_) return {};
    Notice notice;
    notice.cloud = Cloud::gcp;
    notice.kind = kind_;
    notice.deadline = surroundings_.now() +
                      (kind_ == NoticeKind::preemption ? k_gcp_preemption_s : k_gcp_maintenance_s);
    notice.body = answer.body.reveal();
    return {notice};
  }

  std::string subject() const override { return printable(url_); }
  std::chrono::milliseconds interval() const override {
    return at_once_ ? interval_ : std::chrono::milliseconds(0);
  }

 private:
  HttpAsk question() const {
    HttpAsk ask = metadata_ask(url_);
    if (!etag_.empty()) {
      ask.url += "?wait_for_change=true&last_etag=" + percent_encode(etag_) +
                 "&timeout_sec=" + std::to_string(k_gcp_wait.count());
      ask.timeout += k_gcp_wait;
    }
    ask.headers.emplace_back("Metadata-Flavor", Secret("Google"));
    return ask;
  }

  Surroundings surroundings_;
  NoticeKind kind_;
  /// The value that means nothing.
  std::string quiet_;
  std::string url_;
  std::chrono::milliseconds interval_;
  std::string etag_;
  std::string value_;
  bool at_once_ = false;
};

}  // namespace

std::string gcp_endpoint(const Surroundings& surroundings) {
  const auto host = surroundings.variable("GCE_METADATA_HOST");
  return host ? "http://" + *host : k_metadata_address;
}

Feeds gcp_feeds(const Surroundings& surroundings, const NoticeSettings& settings) {
  Feeds feeds;
  for (const NoticeKind kind : {NoticeKind::preemption, NoticeKind::maintenance}) {
    feeds.push_back(std::make_unique<GcpFeed>(surroundings, settings, kind));
  }
  return feeds;
}

}  // namespace mad
