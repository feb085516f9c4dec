#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "credentials/encoding.hpp"
#include "credentials/google.hpp"
#include "transport/http_calls.hpp"
#include "transport/http_port.hpp"

namespace mad {

/// One request in the JSON API's terms.
struct GsAsk {
  enum class Place {
    object,  ///< …/b/BUCKET/o/NAME
    bucket,  ///< …/b/BUCKET/o
    upload,  ///< /upload…/b/BUCKET/o
  };
  std::string method = "GET";
  /// gs://bucket/name.
  Url url;
  Place place = Place::object;
  Parameters query;
  std::vector<std::string> headers;
  /// Null: none.
  const HttpBody* body = nullptr;
  std::size_t max_reply_bytes = std::size_t{1} << 20U;
};

/// JSON API requests to one endpoint, addressed, with a token and, where refused, judged.
///
/// Endpoint and credentials as resolve_google_settings and open_google_credentials find
/// them; a token is sent over https or to the loopback only.  A name is one segment of the
/// path, its slashes encoded.  On 401 the token is renewed, once.  Any number of threads.
class GsSession {
 public:
  explicit GsSession(const TransportOptions& options);

  /// Replies that come back: success, and 404 (of an object), 412, 416; throws for every
  /// other.  With a sink, for an object's bytes.
  HttpReply call(const GsAsk& ask);
  HttpReply call(const GsAsk& ask, ObjectSink* sink, Retrier& retrier);

  /// Throws Error(not_found, `bucket-missing`) where a 404 for an object meant that: the
  /// answers to both may read the same.
  void require_bucket(const Url& url);

  /// The session of a resumable upload, as its `Location` names it: a secret, which stands in
  /// for a token.  Throws Error(remote) where it leads away from TLS or to an address that
  /// redirects must not lead to.
  Url upload_session(const std::string& location, const std::string& subject) const;
  /// It is at the endpoint itself.
  bool is_at_endpoint(const Url& url) const { return same_origin(url, endpoint_); }

  HttpCalls& calls() { return calls_; }

 private:
  struct Attempt;  ///< what one attempt was made with
  HttpRequest prepare(const GsAsk& ask, Attempt& attempt);
  ReplyVerdict judge(const GsAsk& ask, const std::string& subject, Attempt& attempt,
                     const HttpReply& reply);
  Url place(const GsAsk& ask) const;

  HttpCalls calls_;
  ClientPort port_;
  Surroundings surroundings_;
  Url endpoint_;
  std::unique_ptr<GoogleCredentialsSource> credentials_;
  std::vector<std::string> headers_;  ///< given with -H
  std::mutex mutex_;
  std::set<std::string> buckets_;  ///< known to be there
};

/// A refusal as an Error(remote, `http-status`): the status, and the reason given.
Error gs_status_error(const std::string& subject, const HttpReply& reply);

}  // namespace mad
