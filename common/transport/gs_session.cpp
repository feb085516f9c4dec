#include "transport/gs_session.hpp"

#include "credentials/service.hpp"
#include "transport/address.hpp"
#include "transport/gs_json.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

GoogleOptions google_options(const TransportOptions& options) {
  GoogleOptions google;
  google.endpoint_url = options.endpoint_url;
  google.anonymous = options.anonymous || gives_authorization(options.headers);
  return google;
}

/// Refusals that say nothing against the same request a moment later, whatever their
/// status; the last tells of bytes damaged on the way.
bool is_transient_refusal(const HttpReply& reply, const std::string& reason) {
  return is_transient_status(reply.head.status) || reason == "rateLimitExceeded" ||
         reason == "userRateLimitExceeded" ||
         (reply.head.status == 400 && reply.body.find("match calculated") != std::string::npos);
}

}  // namespace

struct GsSession::Attempt {
  GoogleCredentialsSource::Pointer credentials;
  bool renewed = false;
};

GsSession::GsSession(const TransportOptions& options)
    : calls_(options, Redirects::none), port_(options), headers_(options.headers) {
  surroundings_.http = &port_;
  endpoint_ =
      parse_url(resolve_google_settings(surroundings_, google_options(options)).endpoint_url);
  credentials_ = open_google_credentials(surroundings_, google_options(options));
}

Url GsSession::place(const GsAsk& ask) const {
  Url url = endpoint_;
  if (url.path == "/") url.path.clear();
  if (ask.place == GsAsk::Place::upload) url.path += "/upload";
  url.path += "/storage/v1/b/" + percent_encode(ask.url.host) + "/o";
  if (ask.place == GsAsk::Place::object) {
    const std::string_view name = std::string_view(ask.url.path).substr(1);
    url.path += "/" + percent_encode(percent_decode(name).value_or(std::string(name)));
  }
  if (!ask.query.empty()) url.query = "?" + format_form(ask.query);
  return url;
}

HttpRequest GsSession::prepare(const GsAsk& ask, Attempt& attempt) {
  attempt.credentials = credentials_->get();
  HttpRequest request;
  request.method = ask.method;
  request.body = ask.body;
  request.url = place(ask);
  request.headers = ask.headers;
  request.headers.insert(request.headers.end(), headers_.begin(), headers_.end());
  if (!attempt.credentials->anonymous() || gives_authorization(headers_)) {
    require_private_url(request_url(endpoint_), "endpoint URL");
  }
  if (!attempt.credentials->anonymous()) {
    request.headers.push_back("Authorization: Bearer " +
                              std::string(attempt.credentials->access_token.reveal()));
  }
  return request;
}

ReplyVerdict GsSession::judge(const GsAsk& ask, const std::string& subject, Attempt& attempt,
                              const HttpReply& reply) {
  const int status = reply.head.status;
  if (is_success(status)) return ReplyVerdict::accept();
  const std::string reason = gs_error_reason(reply.body);
  const Error error = status_error(subject, status, reason);
  if (is_transient_refusal(reply, reason)) return ReplyVerdict::transient(error);
  if (status == 401 || status == 403) {
    const Error denied = store_denied(subject, status, reason,
                                      credentials_name(attempt.credentials->provider, headers_));
    const bool renewable = status == 401 && !attempt.credentials->anonymous() && !attempt.renewed;
    if (!renewable) return ReplyVerdict::final(denied);
    attempt.renewed = true;
    credentials_->renew(attempt.credentials);
    return ReplyVerdict::repaired(denied);
  }
  if (status == 404 && ask.place != GsAsk::Place::object) {
    return ReplyVerdict::final(bucket_missing(subject, ask.url.host, endpoint_.host));
  }
  if (status == 404 || status == 412 || status == 416) return ReplyVerdict::accept();
  return ReplyVerdict::final(error);
}

HttpReply GsSession::call(const GsAsk& ask) {
  Retrier retrier = calls_.retrier();
  return call(ask, nullptr, retrier);
}

HttpReply GsSession::call(const GsAsk& ask, ObjectSink* sink, Retrier& retrier) {
  const std::string subject = display_url(ask.url);
  Attempt attempt;
  HttpCall call;
  call.subject = subject;
  call.prepare = [&] {
    HttpRequest request = prepare(ask, attempt);
    // Without it GCS decompresses what is stored compressed, and no length or CRC holds.
    if (sink != nullptr) request.accept_encoding = "gzip";
    return request;
  };
  call.judge = [&](const HttpReply& reply) { return judge(ask, subject, attempt, reply); };
  call.sink = sink;
  call.max_reply_bytes = ask.max_reply_bytes;
  return calls_.call(call, retrier);
}

void GsSession::require_bucket(const Url& url) {
  {
    const std::lock_guard lock(mutex_);
    if (buckets_.count(url.host) != 0) return;
  }
  GsAsk ask;
  ask.url = url;
  ask.place = GsAsk::Place::bucket;
  ask.query = {{"maxResults", "1"}, {"fields", "kind"}};
  try {
    call(ask);
  } catch (const Error& error) {
    // Who may not list may still read: nothing is known against the bucket then.
    if (error.code != ExitCode::access_denied) throw;
  }
  const std::lock_guard lock(mutex_);
  buckets_.insert(url.host);
}

Url GsSession::upload_session(const std::string& location, const std::string& subject) const {
  Url url;
  try {
    url = parse_url(location);
  } catch (const Error&) {
    throw bad_answer(subject, "the store names no upload session");
  }
  const bool web = url.scheme == "https" || (url.scheme == "http" && endpoint_.scheme == "http");
  if (!web || is_metadata_host(url.host)) {
    throw bad_answer(subject, "the store names an upload session at " + display_url(url) +
                                  ", where nothing is sent");
  }
  url.userinfo.clear();
  return url;
}

Error gs_status_error(const std::string& subject, const HttpReply& reply) {
  return status_error(subject, reply.head.status, gs_error_reason(reply.body));
}

}  // namespace mad
