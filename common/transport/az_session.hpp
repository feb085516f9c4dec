#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "credentials/azure.hpp"
#include "credentials/encoding.hpp"
#include "transport/az_name.hpp"
#include "transport/http_calls.hpp"
#include "transport/http_port.hpp"

namespace mad {

/// One request in the blob service's terms.
struct AzAsk {
  std::string method = "GET";
  Url url;
  bool of_container = false;
  Parameters query;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Null: none.
  const HttpBody* body = nullptr;
  std::size_t max_reply_bytes = std::size_t{64} << 10U;
};

/// Requests to the blob service of one account, addressed, authorized and, where refused,
/// judged.
///
/// Account, endpoint and credentials as resolve_azure_settings and open_azure_credentials
/// find them, but for a URL that carries its signature.  A wrong clock is put right by the
/// server's, and a bearer token that is refused is renewed once a call.  Any number of
/// threads.
class AzSession {
 public:
  /// `url` is one that will be asked for: it may say the account.
  AzSession(const Url& url, const TransportOptions& options);

  /// Replies that come back: success, 404 (not for want of the container), 412, 416, 409
  /// BlobAlreadyExists and 400 InvalidBlockList; throws for every other.
  HttpReply call(const AzAsk& ask) { return call(ask, nullptr, calls_.retrier()); }
  HttpReply call(const AzAsk& ask, ObjectSink* sink, Retrier&& retrier) {
    return call(ask, sink, retrier);
  }
  HttpReply call(const AzAsk& ask, ObjectSink* sink, Retrier& retrier);

  HttpCalls& calls() { return calls_; }
  AzName name(const Url& url) const { return parse_az_name(url, environment_account_); }

 private:
  struct Attempt;  ///< what one attempt was authorized with
  HttpRequest prepare(const AzAsk& ask, Attempt& attempt);
  void authorize(HttpRequest& request, const Parameters& query, const Attempt& attempt) const;
  AzureCredentialsSource::Pointer credentials_for(const Url& url);
  Url place(const AzAsk& ask) const;
  ReplyVerdict judge(const AzAsk& ask, const std::string& subject, Attempt& attempt,
                     const HttpReply& reply);
  ReplyVerdict judge_denied(const Error& denied, const std::string& code, Attempt& attempt,
                            const HttpReply& reply);
  Error denied(const std::string& subject, const std::string& code, const Attempt& attempt,
               const HttpReply& reply) const;
  std::int64_t clock_ahead(const HttpReply& reply) const;

  HttpCalls calls_;
  ClientPort port_;
  Surroundings surroundings_;
  std::string environment_account_;
  /// Of az://; an http URL is its own endpoint.
  AzureSettings settings_;
  std::unique_ptr<AzureCredentialsSource> credentials_;
  std::vector<std::string> user_headers_;
  std::atomic<std::int64_t> server_ahead_ = 0;
};

/// Why a request was refused (x-ms-error-code, or the body's); empty where neither says it.
std::string az_error_code(const HttpReply& reply);
/// Whether the reply to a write says that its condition does not hold.
bool is_az_condition_refused(const HttpReply& reply);

}  // namespace mad
