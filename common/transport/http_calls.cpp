#include "transport/http_calls.hpp"

#include <algorithm>
#include <ctime>

#include "base/log.hpp"
#include "transport/address.hpp"

namespace mad {
namespace {

constexpr int k_max_redirects = 10;
constexpr unsigned k_max_repairs = 3;
constexpr std::chrono::milliseconds k_last_call_limit{10'000};

/// Ends an exchange whose reply is longer than is wanted of it.
struct EnoughRead {};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// One exchange: object bytes to the sink, everything else into the reply.
class ReplyHandler final : public HttpHandler {
 public:
  ReplyHandler(const HttpCall& call, bool follows_redirects, HttpReply& reply)
      : call_(call), follows_redirects_(follows_redirects), reply_(reply) {}

  bool head(const HttpHead& head) override {
    reply_.head = head;
    const auto location = head.find("location");
    if (follows_redirects_ && location && is_redirect(head.status)) {
      redirect_ = std::string(*location);
      return false;
    }
    sunk_ = call_.sink != nullptr && (head.status == 200 || head.status == 206);
    if (sunk_) return call_.sink->head(head);
    // An empty one is taken for the sake of the connection.
    return call_.max_reply_bytes != 0 || head.find("content-length") == "0" || head.status == 204;
  }

  void body(Bytes bytes) override {
    if (sunk_) return call_.sink->body(bytes);
    if (bytes.size() > call_.max_reply_bytes - reply_.body.size()) throw EnoughRead{};
    reply_.body += as_text(bytes);
  }

  bool sunk() const { return sunk_; }
  const std::optional<std::string>& redirect() const { return redirect_; }

 private:
  const HttpCall& call_;
  bool follows_redirects_;
  HttpReply& reply_;
  bool sunk_ = false;
  std::optional<std::string> redirect_;
};

Error refused(const HttpCall& call, const std::string& what) {
  return {ExitCode::remote, "http-status", call.subject, what};
}

void check_redirect(const HttpCall& call, const Url& from, const Url& to) {
  const std::string target = "redirected to " + display_url(to) + ", which is never followed: ";
  if (to.scheme != "http" && to.scheme != "https") {
    throw refused(call, target + "only http and https are");
  }
  if (from.scheme == "https" && to.scheme == "http") {
    throw refused(call, target + "it gives up TLS");
  }
  if (is_metadata_host(to.host)) {
    throw refused(call, target + "a link-local or metadata address");
  }
}

/// A date in it is counted from the server's own time: the clock here may be another.
std::optional<std::chrono::seconds> retry_after(const HttpHead& head) {
  const auto after = head.find("retry-after");
  if (!after) return std::nullopt;
  const auto there = parse_http_date(head.find("date").value_or(""));
  return parse_retry_after(*after, there.value_or(std::time(nullptr)));
}

/// RFC 9110, 15.4: which redirects keep a method that is not GET or HEAD.
bool may_follow(const HttpRequest& request, int status) {
  return status == 307 || status == 308 || request.method == "GET" || request.method == "HEAD";
}

void go_to(HttpRequest& request, const Url& next) {
  // Once elsewhere, nothing is sent again, even where the way leads back.
  if (!same_origin(request.url, next)) request.with_credentials = false;
  const std::string userinfo = request.with_credentials ? request.url.userinfo : "";
  request.url = next;
  request.url.userinfo = userinfo;
  request.redirected = true;
}

}  // namespace

HttpCalls::HttpCalls(const TransportOptions& options, Redirects redirects)
    : options_(options), redirects_(redirects), clients_(options) {}

/// An attempt that found no connection is one all the same.
void HttpCalls::count_sends(const HttpRequest& request, unsigned sends) {
  sends = std::max(sends, 1U);
  requests_ += sends;
  retries_ += sends - 1;
  if (request.body != nullptr) sent_bytes_ += sends * request.body->size_bytes();
}

HttpRequest HttpCalls::prepare(const HttpCall& call, Retrier& retrier) {
  for (;;) {
    try {
      return call.prepare();
    } catch (const Error& error) {
      if (error.code != ExitCode::remote || error.reason == "tls") throw;
      retrier.wait_or_throw(error, {});
    }
  }
}

std::optional<HttpFailure> HttpCalls::attempt(const HttpCall& call, HttpRequest request,
                                              HttpReply& reply, bool& sunk) {
  const HttpClientPool::Lease client = clients_.lease();
  for (int redirects = 0;; ++redirects) {
    reply = {};
    ReplyHandler handler(call, redirects_ == Redirects::follow, reply);
    std::optional<HttpFailure> failure;
    try {
      failure = client->perform(request, handler);
    } catch (const EnoughRead&) {
    }
    count_sends(request, client->sends());
    if (failure) return failure;
    sunk = handler.sunk();
    if (!handler.redirect() || !may_follow(request, reply.head.status)) return std::nullopt;
    if (redirects == k_max_redirects) {
      throw refused(call, "redirected more than " + std::to_string(k_max_redirects) + " times");
    }
    const Url next = resolve_reference(request.url, *handler.redirect());
    check_redirect(call, request.url, next);
    log_verbose(call.subject + ": redirected to " + display_url(next));
    go_to(request, next);
  }
}

HttpReply HttpCalls::call(const HttpCall& call) {
  Retrier own = retrier();
  return this->call(call, own);
}

HttpReply HttpCalls::call(const HttpCall& call, Retrier& retrier) {
  unsigned repairs = 0;
  for (unsigned attempts = 1;; ++attempts) {
    HttpRequest request = prepare(call, retrier);
    if (call.sink != nullptr) call.sink->dress(request);
    if (call.sign) call.sign(request);
    HttpReply reply;
    bool sunk = false;
    auto failure = attempt(call, std::move(request), reply, sunk);
    reply.attempts = attempts + (reply.head.sent_again ? 1 : 0);
    if (!failure && sunk) failure = call.sink->end_request();
    if (failure) {
      const Error error = call.sink != nullptr
                              ? call.sink->error_of(*failure)
                              : Error(ExitCode::remote, failure->reason, call.subject,
                                      failure->message, failure->hint);
      if (!failure->transient) throw Error(error);
      retrier.wait_or_throw(error, {});
      ++retries_;
      continue;
    }
    if (sunk) return reply;
    const ReplyVerdict verdict = call.judge(reply);
    if (verdict.kind == ReplyVerdict::Kind::accept) return reply;
    if (verdict.kind == ReplyVerdict::Kind::transient) {
      retrier.wait_or_throw(*verdict.error, retry_after(reply.head));
    } else if (verdict.kind == ReplyVerdict::Kind::final || ++repairs > k_max_repairs) {
      throw Error(*verdict.error);
    } else {
      log_verbose(verdict.error->one_line() + "; put right, asking again");
    }
    ++retries_;
  }
}

int HttpCalls::call_past_interruption(const HttpCall& call) noexcept {
  try {
    HttpRequest request = call.prepare();
    if (call.sign) call.sign(request);
    request.past_interruption = true;
    request.time_limit = k_last_call_limit;
    HttpReply reply;
    bool sunk = false;
    return attempt(call, std::move(request), reply, sunk) ? 0 : reply.head.status;
  } catch (...) {
    return 0;
  }
}

TransferFigures HttpCalls::figures() const {
  return {received_bytes_, sent_bytes_, requests_, retries_};
}

bool is_transient_status(int status) {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

Error status_error(const std::string& subject, int status, const std::string& more) {
  return {ExitCode::remote, "http-status", subject,
          "the server answers " + std::to_string(status) + (more.empty() ? "" : " ") + more};
}

}  // namespace mad
