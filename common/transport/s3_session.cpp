#include "transport/s3_session.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "credentials/sigv4.hpp"
#include "credentials/xml.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::string_view k_empty_sha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Less than this is not why a signature is refused: S3 allows 15 minutes.
constexpr std::int64_t k_clock_tolerance_s = 60;

template <std::size_t N>
bool is_one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

/// Refusals that say nothing against the same request a moment later; the last four tell
/// of bytes damaged or lost on the way.
bool is_transient_code(std::string_view code) {
  constexpr std::array<std::string_view, 15> k_codes = {
      "RequestTimeout",      "RequestTimeoutException", "SlowDown",
      "InternalError",       "ServiceUnavailable",      "Throttling",
      "ThrottlingException", "RequestLimitExceeded",    "BandwidthLimitExceeded",
      "OperationAborted",    "TransientError",          "BadDigest",
      "InvalidDigest",       "IncompleteBody",          "XAmzContentSHA256Mismatch"};
  return is_one_of(code, k_codes);
}

bool is_expired_code(std::string_view code) {
  constexpr std::array<std::string_view, 3> k_codes = {"ExpiredToken", "ExpiredTokenException",
                                                       "TokenRefreshRequired"};
  return is_one_of(code, k_codes);
}

/// What of a bucket's name can stand as a label before the endpoint's host.
bool is_dns_label(std::string_view bucket) {
  return bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
             std::string_view::npos &&
         bucket.front() != '-' && bucket.back() != '-';
}

/// As libcurl sends it.
std::string host_header(const Url& url) {
  std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  const std::uint16_t usual = url.scheme == "https" ? 443 : 80;
  if (url.port && *url.port != usual) host += ":" + std::to_string(*url.port);
  return host;
}

bool is_region(std::string_view text) {
  constexpr std::size_t k_longest = 40;
  return !text.empty() && text.size() <= k_longest &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

/// The region that a refusal says is the right one.
std::string region_in(const HttpReply& reply) {
  std::string region(reply.head.find("x-amz-bucket-region").value_or(""));
  if (region.empty() && reply.body.find("<Region>") != std::string::npos) {
    try {
      region = parse_xml(reply.body, {}).text_of("Region");
    } catch (const Error&) {
    }
  }
  return is_region(region) ? region : std::string();
}

TransportOptions with_aws_ca(TransportOptions options) {
  const char* bundle = std::getenv("AWS_CA_BUNDLE");
  if (options.ca_file.empty() && bundle != nullptr) options.ca_file = bundle;
  return options;
}

AwsOptions aws_options(const TransportOptions& options) {
  AwsOptions aws;
  aws.region = options.region;
  aws.endpoint_url = options.endpoint_url;
  aws.anonymous = options.anonymous || gives_authorization(options.headers);
  return aws;
}

}  // namespace

struct S3Session::Attempt {
  AwsCredentialsSource::Pointer credentials;
  std::string region;
  std::int64_t server_ahead = 0;
};

S3Session::S3Session(const TransportOptions& options)
    : calls_(with_aws_ca(options), Redirects::none),
      port_(with_aws_ca(options)),
      signs_(!aws_options(options).anonymous) {
  surroundings_.http = &port_;
  settings_ = resolve_aws_settings(surroundings_, aws_options(options));
  region_ = settings_.region;
  if (!settings_.endpoint_url.empty()) endpoint_scheme_ = parse_url(settings_.endpoint_url).scheme;
  credentials_ = open_aws_credentials(surroundings_, aws_options(options));
  for (const std::string& line : options.headers) {
    const auto colon = line.find(": ");
    std::string name = line.substr(0, colon);
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (name.rfind("x-amz-", 0) == 0) {
      amz_headers_.emplace_back(name, line.substr(colon + 2));
    } else {
      other_headers_.push_back(line);
    }
  }
}

std::string S3Session::region() const {
  const std::lock_guard lock(mutex_);
  return region_;
}

Url S3Session::place(const S3Ask& ask, const std::string& region) const {
  const std::string& bucket = ask.url.host;
  const bool virtual_host =
      settings_.addressing == AwsAddressing::virtual_host ||
      (settings_.addressing == AwsAddressing::automatic && at_aws() && is_dns_label(bucket));
  Url url = parse_url(at_aws() ? "https://s3." + region + "." + aws_domain(region)
                               : settings_.endpoint_url);
  std::string path = url.path == "/" ? "" : url.path;
  if (virtual_host) {
    url.host = bucket + "." + url.host;
  } else {
    path += "/" + bucket;
  }
  if (!ask.of_bucket) path += ask.url.path;
  url.path = path.empty() ? "/" : path;
  return url;
}

HttpRequest S3Session::prepare(const S3Ask& ask, Attempt& attempt) {
  attempt.region = region();
  attempt.credentials = credentials_->get();
  attempt.server_ahead = server_ahead_;
  HttpRequest request;
  request.method = ask.method;
  request.body = ask.body;
  request.url = place(ask, attempt.region);

  AwsRequest aws;
  aws.method = ask.method;
  aws.host = host_header(request.url);
  aws.path = request.url.path;
  aws.query = aws_query(ask.query);
  aws.headers = ask.headers;
  aws.headers.insert(aws.headers.end(), amz_headers_.begin(), amz_headers_.end());
  aws.payload_hash = ask.body == nullptr        ? k_empty_sha256
                     : ask.payload_hash.empty() ? k_unsigned_payload
                                                : std::string_view(ask.payload_hash);
  if (!aws.query.empty()) request.url.query = "?" + aws.query;
  const SigningTime time{surroundings_.now(), attempt.server_ahead};
  auto headers = sign_aws(aws, *attempt.credentials, {attempt.region, "s3"}, time);
  headers.insert(headers.end(), aws.headers.begin(), aws.headers.end());
  for (const auto& [name, value] : headers) {
    std::string line = name;
    line += ": ";
    line += value;
    request.headers.push_back(std::move(line));
  }
  request.headers.insert(request.headers.end(), other_headers_.begin(), other_headers_.end());
  return request;
}

bool S3Session::learn_region(const HttpReply& reply, const Attempt& attempt) {
  const std::string found = region_in(reply);
  if (found.empty() || found == attempt.region) return false;
  const std::lock_guard lock(mutex_);
  region_ = found;
  return true;
}

/// Whether another time than the one this attempt was signed with may do better: another
/// thread may have learnt it meanwhile.
bool S3Session::learn_clock(const HttpReply& reply, const Attempt& attempt) {
  const auto date = parse_http_date(reply.head.find("date").value_or(""));
  if (!date) return false;
  const std::int64_t ahead = *date - surroundings_.now();
  server_ahead_ = ahead;
  return std::abs(ahead - attempt.server_ahead) >= k_clock_tolerance_s;
}

ReplyVerdict S3Session::judge(const S3Ask& ask, const std::string& subject, const Attempt& attempt,
                              const HttpReply& reply) {
  const int status = reply.head.status;
  // CompleteMultipartUpload may find out only after its 200 that it fails, or was refused.
  const std::string code = xml_error_code(reply);
  if (is_success(status) && code.empty()) return ReplyVerdict::accept();

  const Error error = status_error(subject, status, code);
  if (is_transient_code(code)) return ReplyVerdict::transient(error);
  if (code == "NotImplemented") return ReplyVerdict::final(error);
  if (is_transient_status(status)) return ReplyVerdict::transient(error);
  const bool conflict = code == "ConditionalRequestConflict";
  if (ask.method == "POST" && (conflict || code == "PreconditionFailed")) {
    return ReplyVerdict::accept();
  }
  if (conflict) return ReplyVerdict::transient(error);
  const Error denied = store_denied(
      subject, status, code, credentials_name(attempt.credentials->provider, other_headers_));
  if (is_expired_code(code)) {
    credentials_->renew(attempt.credentials);
    return ReplyVerdict::repaired(denied);
  }
  // HEAD has no body to say it in.
  const bool may_be_skewed = code == "RequestTimeTooSkewed" || (status == 403 && code.empty());
  if (may_be_skewed && learn_clock(reply, attempt)) return ReplyVerdict::repaired(denied);
  const bool elsewhere = status == 301 || status == 307 || status == 400 || status == 403;
  if (elsewhere && learn_region(reply, attempt)) return ReplyVerdict::repaired(error);
  if (code == "NoSuchBucket") {
    return ReplyVerdict::final(
        bucket_missing(subject, ask.url.host, host_header(place(ask, attempt.region))));
  }
  if (status == 404 || status == 412 || status == 416) return ReplyVerdict::accept();
  if (status == 400 && code == "InvalidRequest" && ask.may_want_md5) return ReplyVerdict::accept();
  if (status == 401 || status == 403) return ReplyVerdict::final(denied);
  return ReplyVerdict::final(error);
}

HttpCall S3Session::http_call(const S3Ask& ask, const std::string& subject, Attempt& attempt) {
  HttpCall call;
  call.subject = subject;
  call.prepare = [&] { return prepare(ask, attempt); };
  call.judge = [&](const HttpReply& reply) { return judge(ask, subject, attempt, reply); };
  call.max_reply_bytes = ask.max_reply_bytes;
  return call;
}

HttpReply S3Session::call(const S3Ask& ask, ObjectSink* sink, Retrier& retrier) {
  const std::string subject = display_url(ask.url);
  Attempt attempt;
  HttpCall call = http_call(ask, subject, attempt);
  call.sink = sink;
  return calls_.call(call, retrier);
}

int S3Session::call_past_interruption(const S3Ask& ask) noexcept {
  Attempt attempt;
  return calls_.call_past_interruption(http_call(ask, display_url(ask.url), attempt));
}

}  // namespace mad
