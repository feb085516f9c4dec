#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "transport/http_calls.hpp"
#include "transport/transport.hpp"

namespace mad {

/// How a protocol pins a version of an object.
struct PinRules {
  /// The pin that an answer gives; empty: none that a range could be asked for under.
  std::function<std::string(const HttpHead& head)> pin_of;
  /// Asks for the range only under `pin`.
  std::function<void(HttpRequest& request, const std::string& pin)> demand;
  /// The pin alone tells versions apart: ETag and date may change while the bytes do not.
  bool alone = false;
};

/// http: a strong ETag, or a Last-Modified that is strong (RFC 9110, 8.8.2.2), in If-Range:
/// servers too simple for If-Match know it.
PinRules pin_by_if_range();
/// Stores: the ETag, in If-Match; another version answers 412.
PinRules pin_by_if_match();
/// GCS: the generation, in the query; where it is no more the answer is 404.
PinRules pin_by_generation();

/// The object's size by an answer to GET or HEAD, a range (`Content-Range`) or not.
std::optional<std::uint64_t> object_size(const HttpHead& head);
/// All that an answer to GET or HEAD says; metadata where its headers begin with
/// `metadata_prefix` (lower case; empty: none).
ObjectInfo object_info(const HttpHead& head, const PinRules& rules,
                       std::string_view metadata_prefix);

/// A whole object on its way to a receiver, over all attempts to get it.
///
/// What is cut goes on with a range under the pin; without one, or from a server without
/// ranges, it starts again.
class Download final : public ObjectSink {
 public:
  /// All arguments outlive it.
  Download(const std::string& subject, Receiver& receiver, std::uint64_t max_bytes,
           const PinRules& rules, HttpCalls& calls, Retrier& retrier)
      : subject_(subject),
        receiver_(receiver),
        max_bytes_(max_bytes),
        rules_(rules),
        calls_(calls),
        retrier_(retrier) {}

  /// After the call: what became of it.  Throws status_error for a reply that is no answer
  /// to what was asked.
  GetOutcome outcome(const HttpReply& reply) const;

  void dress(HttpRequest& request) override;
  bool head(const HttpHead& head) override;
  void body(Bytes bytes) override;
  std::optional<HttpFailure> end_request() override;
  Error error_of(const HttpFailure& failure) const override;

 private:
  /// By what one version of an object is known again.
  struct Version {
    std::string etag;  ///< weak ones too: they can tell versions apart, but not pin one;
                       ///< or the pin itself, where it stands alone
    std::string last_modified;
    std::string pin;
    std::optional<std::uint64_t> size_bytes;
  };
  Version version_of(const HttpHead& head) const;
  static bool may_be_same(const Version& a, const Version& b);
  bool take_whole(const HttpHead& head);
  bool take_range(const HttpHead& head);
  bool goes_on() const { return done_bytes_ > 0 && !version_.pin.empty(); }
  Error final_error(const std::string& what) const;
  [[noreturn]] void too_large(const std::string& found) const;

  const std::string& subject_;
  Receiver& receiver_;
  std::uint64_t max_bytes_;
  const PinRules& rules_;
  HttpCalls& calls_;
  Retrier& retrier_;

  Version version_;
  bool begun_ = false;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t furthest_ = 0;
  bool changed_ = false;

  // Of the request under way.
  std::uint64_t skip_bytes_ = 0;
  std::optional<std::uint64_t> until_;
};

/// One range of a pinned version, over all attempts to get it.
class RangeRead final : public ObjectSink {
 public:
  /// All arguments outlive it.  `pinned` has a version and a size.
  RangeRead(const std::string& subject, const ObjectInfo& pinned, std::uint64_t offset,
            std::uint64_t length, Receiver& receiver, const PinRules& rules, HttpCalls& calls,
            Retrier& retrier);

  RangeOutcome outcome(const HttpReply& reply) const;

  void dress(HttpRequest& request) override;
  bool head(const HttpHead& head) override;
  void body(Bytes bytes) override;
  std::optional<HttpFailure> end_request() override;
  Error error_of(const HttpFailure& failure) const override;

 private:
  const std::string& subject_;
  const ObjectInfo& pinned_;
  std::uint64_t begin_;
  std::uint64_t at_;
  std::uint64_t end_;
  std::uint64_t furthest_;
  Receiver& receiver_;
  const PinRules& rules_;
  HttpCalls& calls_;
  Retrier& retrier_;
  std::optional<RangeOutcome> outcome_;
};

/// Asks for the first byte, to learn what there is: the one request that every server
/// answers in full, errors included, and that a URL presigned for GET allows.
class Probe final : public ObjectSink {
 public:
  explicit Probe(const std::string& subject) : subject_(subject) {}
  void dress(HttpRequest& request) override;
  /// Of a whole object the body is not taken.
  bool head(const HttpHead& head) override { return head.status == 206; }
  void body(Bytes bytes) override;
  std::optional<HttpFailure> end_request() override { return std::nullopt; }
  Error error_of(const HttpFailure& failure) const override;

 private:
  const std::string& subject_;
};

}  // namespace mad
