#include "credentials/sigv4.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "credentials/time.hpp"

namespace mad {
namespace {

/// Lower-case names to values as they are signed; sorted by name.
using SignedHeaders = std::map<std::string, std::string>;

/// Without blanks at its ends, a row of them within as one.
std::string with_single_blanks(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void add(SignedHeaders& headers, std::string_view name, std::string_view value) {
  std::string& joined = headers[lower_ascii(name)];
  if (!joined.empty()) joined += ',';
  joined += with_single_blanks(value);
}

SignedHeaders headers_of(const AwsRequest& request) {
  SignedHeaders headers;
  add(headers, "host", request.host);
  for (const auto& [name, value] : request.headers) add(headers, name, value);
  return headers;
}

std::string names_of(const SignedHeaders& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string canonical_request(const AwsRequest& request, const std::string& query,
                              const SignedHeaders& headers) {
  std::string text = request.method + '\n' + request.path + '\n' + query + '\n';
  for (const auto& [name, value] : headers) text.append(name).append(":").append(value) += '\n';
  return text + '\n' + names_of(headers) + '\n' + request.payload_hash;
}

struct Stamp {
  std::string time;   ///< 20130524T000000Z
  std::string scope;  ///< 20130524/us-east-1/s3/aws4_request
  std::string day() const { return time.substr(0, 8); }
};

Stamp stamp_of(const AwsScope& scope, const SigningTime& time) {
  Stamp stamp;
  stamp.time = format_basic_time(time.now + time.server_ahead);
  stamp.scope = stamp.day() + '/' + scope.region + '/' + scope.service + "/aws4_request";
  return stamp;
}

std::string sign(const std::string& canonical, const AwsCredentials& credentials,
                 const AwsScope& scope, const Stamp& stamp) {
  std::string first = "AWS4";
  first += credentials.secret_access_key.reveal();
  Digest key = hmac_sha256(first, stamp.day());
  wipe(first);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service),
        std::string_view("aws4_request")}) {
    key = hmac_sha256(as_text(key), part);
  }
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + stamp.time + '\n' + stamp.scope + '\n' +
                              to_hex(Sha256::of(as_bytes(canonical)));
  return to_hex(hmac_sha256(as_text(key), to_sign));
}

}  // namespace

std::string aws_query(const Parameters& parameters) {
  Parameters encoded;
  for (const auto& [name, value] : parameters) {
    encoded.emplace_back(percent_encode(name), percent_encode(value));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string query;
  for (const auto& [name, value] : encoded) {
    query.append(query.empty() ? "" : "&").append(name).append("=").append(value);
  }
  return query;
}

std::vector<std::pair<std::string, std::string>> sign_aws(const AwsRequest& request,
                                                          const AwsCredentials& credentials,
                                                          const AwsScope& scope,
                                                          const SigningTime& time) {
  if (credentials.anonymous()) return {};
  const Stamp stamp = stamp_of(scope, time);
  std::vector<std::pair<std::string, std::string>> added = {
      {"x-amz-content-sha256", request.payload_hash}, {"x-amz-date", stamp.time}};
  if (!credentials.session_token.empty()) {
    added.emplace_back("x-amz-security-token", credentials.session_token.reveal());
  }
  SignedHeaders headers = headers_of(request);
  for (const auto& [name, value] : added) add(headers, name, value);
  const std::string signature =
      sign(canonical_request(request, request.query, headers), credentials, scope, stamp);
  added.emplace_back("Authorization", "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id +
                                          '/' + stamp.scope + ", SignedHeaders=" +
                                          names_of(headers) + ", Signature=" + signature);
  return added;
}

Secret presign_aws(const AwsRequest& request, const Parameters& query,
                   const AwsCredentials& credentials, const AwsScope& scope,
                   const SigningTime& time, std::uint32_t expires_seconds) {
  const Stamp stamp = stamp_of(scope, time);
  const SignedHeaders headers = headers_of(request);
  Parameters parameters = query;
  parameters.emplace_back("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
  parameters.emplace_back("X-Amz-Credential", credentials.access_key_id + '/' + stamp.scope);
  parameters.emplace_back("X-Amz-Date", stamp.time);
  parameters.emplace_back("X-Amz-Expires", std::to_string(expires_seconds));
  parameters.emplace_back("X-Amz-SignedHeaders", names_of(headers));
  if (!credentials.session_token.empty()) {
    parameters.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  }
  AwsRequest unsigned_payload = request;
  unsigned_payload.payload_hash = k_unsigned_payload;
  std::string text = aws_query(parameters);
  const std::string signature =
      sign(canonical_request(unsigned_payload, text, headers), credentials, scope, stamp);
  return Secret(text + "&X-Amz-Signature=" + signature);
}

}  // namespace mad
