#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "transport/http_client.hpp"
#include "transport/transport.hpp"

namespace mad {

/// A whole answer that is not an object's bytes.
struct HttpReply {
  HttpHead head;
  /// Cut at HttpCall::max_reply_bytes.
  std::string body;
  /// How many requests it took.
  unsigned attempts = 1;
};

/// What a reply means for the call that it answers.
struct ReplyVerdict {
  enum class Kind {
    accept,     ///< the caller reads it
    final,      ///< `error` is thrown
    transient,  ///< asked again after a wait; `error` where that is no use
    repaired,   ///< what was wrong (credentials, clock, region) is put right: asked again
                ///< at once, at most three times
  };
  Kind kind = Kind::accept;
  std::optional<Error> error;

  static ReplyVerdict accept() { return {}; }
  static ReplyVerdict final(Error error) { return {Kind::final, std::move(error)}; }
  static ReplyVerdict transient(Error error) { return {Kind::transient, std::move(error)}; }
  static ReplyVerdict repaired(Error error) { return {Kind::repaired, std::move(error)}; }
};

/// Who takes the body of a 200 or 206, over all attempts of one call.
class ObjectSink : public HttpHandler {
 public:
  /// Before each attempt: adds to the request what asks for the bytes still missing.
  virtual void dress(HttpRequest& request) = 0;
  /// After an exchange that ended well: a failure where bytes are missing all the same.
  virtual std::optional<HttpFailure> end_request() = 0;
  /// A failure of the exchange as what is told to a person.
  virtual Error error_of(const HttpFailure& failure) const = 0;
};

struct HttpCall {
  /// The URL for messages.
  std::string subject;
  /// The request, made anew for each attempt, so that signatures and tokens are fresh.
  /// What it refers to outlives the call.  Error(remote) is of a service that hands out
  /// credentials: asked again as the store would be, unless it is about TLS.
  std::function<HttpRequest()> prepare;
  /// Last, once the sink has asked for its range: for signatures that cover it.  May be empty.
  std::function<void(HttpRequest& request)> sign;
  /// Every reply whose body no sink took.
  std::function<ReplyVerdict(const HttpReply& reply)> judge;
  ObjectSink* sink = nullptr;
  std::size_t max_reply_bytes = std::size_t{64} << 10U;
};

/// Redirects are http's; a store answers itself, and what is signed for it goes nowhere else.
enum class Redirects { none, follow };

/// The calls of one transport: what every protocol over HTTP shares.
///
/// Each call has a client of its own from a pool, is tried again while that can help, and
/// is counted.  Any number of threads.
class HttpCalls {
 public:
  HttpCalls(const TransportOptions& options, Redirects redirects);

  /// The reply that `judge` accepted; with a sink, the head that it took.
  HttpReply call(const HttpCall& call);
  /// The same, for a sink that tells of its progress.
  HttpReply call(const HttpCall& call, Retrier& retrier);
  Retrier retrier() const { return Retrier(options_.retry, options_.stop.get()); }
  /// One attempt that a signal does not end, within ten seconds: the status, or 0.
  int call_past_interruption(const HttpCall& call) noexcept;

  /// For sinks.
  void count_received(std::uint64_t bytes) { received_bytes_ += bytes; }
  TransferFigures figures() const;

 private:
  static HttpRequest prepare(const HttpCall& call, Retrier& retrier);
  std::optional<HttpFailure> attempt(const HttpCall& call, HttpRequest request, HttpReply& reply,
                                     bool& sunk);
  void count_sends(const HttpRequest& request, unsigned sends);

  TransportOptions options_;
  Redirects redirects_;
  HttpClientPool clients_;
  std::atomic<std::uint64_t> received_bytes_ = 0;
  std::atomic<std::uint64_t> sent_bytes_ = 0;
  std::atomic<std::uint64_t> requests_ = 0;
  std::atomic<std::uint64_t> retries_ = 0;
};

/// 408, 429 and 5xx but for what says that it is not implemented (501, 505).
bool is_transient_status(int status);
inline bool is_success(int status) {
  return status >= 200 && status < 300;
}

/// Error(remote, `http-status`): `the server answers N …`.
Error status_error(const std::string& subject, int status, const std::string& more = {});

}  // namespace mad
