#include "notice/aws.hpp"

#include "base/error.hpp"
#include "credentials/aws_metadata.hpp"
#include "notice/bodies.hpp"
#include "transport/http_calls.hpp"

namespace mad {
namespace {

constexpr std::chrono::milliseconds k_aws_interval{500};

class AwsFeed final : public Feed {
 public:
  AwsFeed(Surroundings surroundings, const NoticeSettings& settings, NoticeKind kind)
      : surroundings_(std::move(surroundings)),
        metadata_(surroundings_, settings.endpoint),
        kind_(kind),
        path_(kind == NoticeKind::rebalance ? "/latest/meta-data/events/recommendations/rebalance"
                                            : "/latest/meta-data/spot/instance-action"),
        interval_(settings.interval.count() != 0 ? settings.interval : k_aws_interval) {}

  std::vector<Notice> ask() override {
    const TimedAnswer timed_answer =
        timed(surroundings_, [this] { return metadata_.ask_once(path_, k_metadata_timeout); });
    const HttpAnswer& answer = timed_answer.answer;
    if (answer.status == 404) {
      standing_.clear();
      return {};
    }
    if (answer.status != 200) throw status_error(subject(), answer.status);
    Notice notice;
    notice.cloud = Cloud::aws;
    notice.kind = kind_;
    notice.body = answer.body.reveal();
    std::string said;
    if (kind_ == NoticeKind::rebalance) {
      said = parse_aws_rebalance(notice.body, subject());
    } else {
      const AwsAction action = parse_aws_action(notice.body, subject());
      said = action.action;
      if (action.time) {
        said += ' ' + std::to_string(*action.time);
        notice.deadline = *action.time - timed_answer.clock_ahead_s;
      }
    }
    if (said == standing_) return {};
    standing_ = said;
    return {notice};
  }

  std::string subject() const override { return printable(metadata_.endpoint() + path_); }
  std::chrono::milliseconds interval() const override { return interval_; }

 private:
  Surroundings surroundings_;
  AwsMetadata metadata_;
  NoticeKind kind_;
  std::string path_;
  std::chrono::milliseconds interval_;
  /// What the last answer said; empty: nothing.
  std::string standing_;
};

}  // namespace

Feeds aws_feeds(const Surroundings& surroundings, const NoticeSettings& settings) {
  Feeds feeds;
  for (const NoticeKind kind : {NoticeKind::preemption, NoticeKind::rebalance}) {
    feeds.push_back(std::make_unique<AwsFeed>(surroundings, settings, kind));
  }
  return feeds;
}

}  // namespace mad
