#include "transport/az_session.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "credentials/azure_providers.hpp"
#include "credentials/azure_shared_key.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

/// Blocks of 4000 MiB and Put Blob of 5000 since 2019-12-12.
constexpr const char* k_az_version = "2020-10-02";
/// Less than this is not why a signature is refused: Azure allows 15 minutes.
constexpr std::int64_t k_az_clock_tolerance_s = 60;

/// Refusals that say nothing against the same request a moment later.  Those of digests tell
/// of bytes damaged on the way.
bool is_az_transient_code(std::string_view code, const AzAsk& ask) {
  constexpr std::array<std::string_view, 5> k_codes = {
      "ServerBusy", "InternalError", "OperationTimedOut", "Md5Mismatch", "Crc64Mismatch"};
  // The emulator's word for Md5Mismatch.
  if (code == "InvalidOperation" && ask.body != nullptr) return true;
  return std::find(k_codes.begin(), k_codes.end(), code) != k_codes.end();
}

std::string host_of(const Url& url) {
  return url.port ? url.host + ":" + std::to_string(*url.port) : url.host;
}

AzureOptions azure_options(const AzName& name, const TransportOptions& options) {
  AzureOptions azure;
  azure.account = name.account;
  azure.endpoint_url = options.endpoint_url;
  azure.anonymous = options.anonymous || gives_authorization(options.headers);
  return azure;
}

/// `Name: value`, as requests hold it.
std::pair<std::string, std::string> split_header(const std::string& line) {
  const auto colon = line.find(": ");
  if (colon == std::string::npos) return {line, {}};
  return {line.substr(0, colon), line.substr(colon + 2)};
}

}  // namespace

struct AzSession::Attempt {
  AzureCredentialsSource::Pointer credentials;
  std::int64_t server_ahead = 0;
  bool renewed = false;
};

AzSession::AzSession(const Url& url, const TransportOptions& options)
    : calls_(options, Redirects::none), port_(options), user_headers_(options.headers) {
  surroundings_.http = &port_;
  if (!names_object(url.scheme)) return;
  environment_account_ = azure_environment_account(surroundings_);
  const AzureOptions azure = azure_options(name(url), options);
  settings_ = resolve_azure_settings(surroundings_, azure);
  credentials_ = open_azure_credentials(surroundings_, azure);
}

Url AzSession::place(const AzAsk& ask) const {
  const AzName name = this->name(ask.url);
  Url url;
  if (names_object(ask.url.scheme)) {
    if (!name.account.empty() && name.account != settings_.account) {
      throw Error(ExitCode::usage, "usage", display_url(ask.url),
                  "expected the account '" + settings_.account + "' as elsewhere");
    }
    url = parse_url(settings_.blob_endpoint);
  } else {
    url = ask.url;
    url.path = name.account.empty() ? "/" : "/" + name.account;
    url.query.clear();
  }
  if (url.path != "/") url.path += '/';
  url.path += name.container;
  if (!ask.of_container) url.path += '/' + name.blob;
  return url;
}

AzureCredentialsSource::Pointer AzSession::credentials_for(const Url& url) {
  if (!url.query.empty()) {
    const Secret query = Secret::copy_of(url.query);
    return std::make_shared<const AzureCredentials>(
        AzureCredentials{make_sas(query, "the URL's signature"), {}, "the URL's signature"});
  }
  return credentials_ ? credentials_->get() : std::make_shared<const AzureCredentials>();
}

HttpRequest AzSession::prepare(const AzAsk& ask, Attempt& attempt) {
  attempt.credentials = credentials_for(ask.url);
  attempt.server_ahead = server_ahead_;
  HttpRequest request;
  request.method = ask.method;
  request.body = ask.body;
  request.url = place(ask);
  if (!ask.query.empty()) request.url.query = "?" + format_form(ask.query);
  request.headers.push_back(std::string("x-ms-version: ") + k_az_version);
  for (const auto& [name, value] : ask.headers) {
    std::string line = name;
    line += ": ";
    line += value;
    request.headers.push_back(std::move(line));
  }
  request.headers.insert(request.headers.end(), user_headers_.begin(), user_headers_.end());
  return request;
}

void AzSession::authorize(HttpRequest& request, const Parameters& query,
                          const Attempt& attempt) const {
  const auto& authorization = attempt.credentials->authorization;
  if (const auto* sas = std::get_if<AzureSas>(&authorization)) {
    request.url.query += request.url.query.empty() ? '?' : '&';
    request.url.query += sas->query.reveal();
  } else if (const auto* bearer = std::get_if<AzureBearer>(&authorization)) {
    request.headers.push_back("Authorization: Bearer " + std::string(bearer->token.reveal()));
  } else if (const auto* key = std::get_if<AzureSharedKey>(&authorization)) {
    AzureRequest to_sign{request.method, request.url.path, query, {}};
    for (const std::string& line : request.headers) {
      to_sign.headers.push_back(split_header(line));
    }
    if (request.body != nullptr) {
      to_sign.headers.emplace_back("Content-Length", std::to_string(request.body->size_bytes()));
    }
    const std::int64_t now = surroundings_.now() + attempt.server_ahead;
    for (const auto& [name, value] : sign_azure(to_sign, *key, now)) {
      std::string line = name;
      line += ": ";
      line += value;
      request.headers.push_back(std::move(line));
    }
  }
}

/// Of the server's, by its Date.
std::int64_t AzSession::clock_ahead(const HttpReply& reply) const {
  const auto date = parse_http_date(reply.head.find("date").value_or(""));
  return date ? *date - surroundings_.now() : 0;
}

Error AzSession::denied(const std::string& subject, const std::string& code, const Attempt& attempt,
                        const HttpReply& reply) const {
  const bool is_anonymous =
      std::holds_alternative<AzureAnonymous>(attempt.credentials->authorization);
  Error error = store_denied(
      subject, reply.head.status, code,
      credentials_name(is_anonymous ? "" : attempt.credentials->provider, user_headers_));
  const std::int64_t ahead = clock_ahead(reply);
  if (std::abs(ahead) < k_az_clock_tolerance_s) return error;
  return {error.code, error.reason, error.subject,
          error.message + "\nthe clock here is " + std::to_string(std::abs(ahead)) + " s " +
              (ahead > 0 ? "behind" : "ahead of") + " the store's"};
}

ReplyVerdict AzSession::judge_denied(const Error& denied, const std::string& code, Attempt& attempt,
                                     const HttpReply& reply) {
  const auto& authorization = attempt.credentials->authorization;
  if (std::holds_alternative<AzureSharedKey>(authorization) && code == "AuthenticationFailed") {
    const std::int64_t ahead = clock_ahead(reply);
    server_ahead_ = ahead;
    if (std::abs(ahead - attempt.server_ahead) >= k_az_clock_tolerance_s) {
      return ReplyVerdict::repaired(denied);
    }
  }
  const bool may_be_stale = reply.head.status == 401 || code == "AuthenticationFailed";
  if (std::holds_alternative<AzureBearer>(authorization) && may_be_stale && !attempt.renewed) {
    attempt.renewed = true;
    try {
      credentials_->renew(attempt.credentials);
      return ReplyVerdict::repaired(denied);
    } catch (const Error& error) {
      // The same token again: the store's own word says more.
      if (error.reason != "credentials-expired") throw;
    }
  }
  return ReplyVerdict::final(denied);
}

ReplyVerdict AzSession::judge(const AzAsk& ask, const std::string& subject, Attempt& attempt,
                              const HttpReply& reply) {
  const int status = reply.head.status;
  if (is_success(status)) return ReplyVerdict::accept();
  const std::string code = az_error_code(reply);
  const Error error = status_error(subject, status, code);
  if (status == 501) return ReplyVerdict::final(error);
  if (is_transient_status(status) || is_az_transient_code(code, ask)) {
    return ReplyVerdict::transient(error);
  }
  if (code == "ContainerNotFound") {
    const std::string container = percent_decode(name(ask.url).container).value_or("");
    return ReplyVerdict::final(bucket_missing(subject, container, host_of(place(ask))));
  }
  // Without credentials a private container is told to be none (409: a private account).
  const bool is_anonymous =
      std::holds_alternative<AzureAnonymous>(attempt.credentials->authorization);
  const bool is_hidden = code == "PublicAccessNotPermitted" ||
                         (status == 404 && is_anonymous && code == "ResourceNotFound");
  if (status == 401 || status == 403 || is_hidden) {
    return judge_denied(denied(subject, code, attempt, reply), code, attempt, reply);
  }
  if (code == "InvalidBlobOrBlock") {  // ids of another length
    return ReplyVerdict::final(
        Error(error.code, error.reason, error.subject, error.message,
              "uncommitted blocks of another program's upload may be in the way; "
              "the store discards them within a week"));
  }
  const bool is_answer = status == 404 || status == 412 || status == 416 ||
                         (status == 409 && code == "BlobAlreadyExists") ||
                         (status == 400 && code == "InvalidBlockList");
  return is_answer ? ReplyVerdict::accept() : ReplyVerdict::final(error);
}

HttpReply AzSession::call(const AzAsk& ask, ObjectSink* sink, Retrier& retrier) {
  const std::string subject = display_url(ask.url);
  Attempt attempt;
  HttpCall call;
  call.subject = subject;
  call.prepare = [&] { return prepare(ask, attempt); };
  call.sign = [&](HttpRequest& request) { authorize(request, ask.query, attempt); };
  call.judge = [&](const HttpReply& reply) { return judge(ask, subject, attempt, reply); };
  call.sink = sink;
  call.max_reply_bytes = ask.max_reply_bytes;
  return calls_.call(call, retrier);
}

std::string az_error_code(const HttpReply& reply) {
  const auto code = reply.head.find("x-ms-error-code");
  return code && is_store_word(*code) ? std::string(*code) : xml_error_code(reply);
}

bool is_az_condition_refused(const HttpReply& reply) {
  if (reply.head.status == 409) return true;  // BlobAlreadyExists
  if (reply.head.status != 412) return false;
  const std::string code = az_error_code(reply);
  return code.empty() || code == "ConditionNotMet" || code == "TargetConditionNotMet";
}

}  // namespace mad
