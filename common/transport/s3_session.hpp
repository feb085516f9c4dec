#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "credentials/aws.hpp"
#include "credentials/encoding.hpp"
#include "transport/http_calls.hpp"
#include "transport/http_port.hpp"

namespace mad {

/// One request in S3's terms.
struct S3Ask {
  std::string method = "GET";
  /// s3://bucket/key; for listings the path is not asked for.
  Url url;
  bool of_bucket = false;
  Parameters query;
  /// Sent and signed.
  std::vector<std::pair<std::string, std::string>> headers;
  /// Null: none.
  const HttpBody* body = nullptr;
  /// The body's SHA-256 in hex; empty where it need not be signed (signs_payload()).
  std::string payload_hash;
  /// A store with object locks may refuse a body without Content-MD5.
  bool may_want_md5 = false;
  std::size_t max_reply_bytes = std::size_t{64} << 10U;
};

/// S3 requests to one endpoint, addressed, signed and, where refused, judged.
///
/// Endpoint, region and credentials as resolve_aws_settings and open_aws_credentials find
/// them.  Path-style addressing where the endpoint is not AWS's own or the bucket's name is
/// no DNS label; what the profile says wins.  A refusal for expired credentials, a wrong
/// clock or another region is put right and asked again.  Any number of threads.
class S3Session {
 public:
  explicit S3Session(const TransportOptions& options);

  /// Replies that come back: success, and 404 (not for want of the bucket), 409
  /// (ConditionalRequestConflict, of POST), 412, 416, and where `may_want_md5` 400
  /// (InvalidRequest); throws for every other.
  HttpReply call(const S3Ask& ask) { return call(ask, nullptr, calls_.retrier()); }
  HttpReply call(const S3Ask& ask, ObjectSink* sink, Retrier&& retrier) {
    return call(ask, sink, retrier);
  }
  HttpReply call(const S3Ask& ask, ObjectSink* sink, Retrier& retrier);
  /// HttpCalls::call_past_interruption.
  int call_past_interruption(const S3Ask& ask) noexcept;

  HttpCalls& calls() { return calls_; }
  /// Over http what is sent must be in the signature; over https TLS vouches for it.
  bool signs_payload() const { return endpoint_scheme_ == "http"; }
  /// Whether there are credentials: a payload_hash is then part of the signature, and what the
  /// store holds against the body.
  bool signs() const { return signs_; }
  bool at_aws() const { return settings_.endpoint_url.empty(); }

 private:
  struct Attempt;  ///< what one attempt was signed with
  HttpCall http_call(const S3Ask& ask, const std::string& subject, Attempt& attempt);
  HttpRequest prepare(const S3Ask& ask, Attempt& attempt);
  ReplyVerdict judge(const S3Ask& ask, const std::string& subject, const Attempt& attempt,
                     const HttpReply& reply);
  Url place(const S3Ask& ask, const std::string& region) const;
  bool learn_region(const HttpReply& reply, const Attempt& attempt);
  bool learn_clock(const HttpReply& reply, const Attempt& attempt);
  std::string region() const;

  HttpCalls calls_;
  ClientPort port_;
  Surroundings surroundings_;
  AwsSettings settings_;
  std::string endpoint_scheme_ = "https";
  bool signs_;
  std::unique_ptr<AwsCredentialsSource> credentials_;
  std::vector<std::pair<std::string, std::string>> amz_headers_;  ///< given with -H
  std::vector<std::string> other_headers_;
  std::atomic<std::int64_t> server_ahead_ = 0;
  mutable std::mutex mutex_;
  std::string region_;
};

}  // namespace mad
