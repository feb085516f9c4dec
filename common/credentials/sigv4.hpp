#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "credentials/aws.hpp"
#include "credentials/encoding.hpp"

namespace mad {

/// AWS Signature Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/
/// sigv4-auth-using-authorization-header.html), single chunk.

/// For a body that is not hashed: over https alone.
inline constexpr std::string_view k_unsigned_payload = "UNSIGNED-PAYLOAD";

/// `name=value&…` as signature and URL both must have it: percent_encode()d, sorted, `=`
/// also where there is no value.
std::string aws_query(const Parameters& parameters);

/// What is signed is what is sent: path and query go into the URL as they stand here.
struct AwsRequest {
  std::string method;
  /// As curl sends it: with the port unless it is the scheme's own.
  std::string host;
  /// percent_encode_path()d, beginning with `/`; sent with CURLOPT_PATH_AS_IS.
  std::string path = "/";
  /// From aws_query(), without `?`.
  std::string query;
  /// To be sent and signed besides; names in any case.  Not Range, Expect or what a proxy
  /// may change.
  std::vector<std::pair<std::string, std::string>> headers;
  /// The body's SHA-256 in lower-case hex, or k_unsigned_payload.
  std::string payload_hash;
};

struct AwsScope {
  std::string region;
  std::string service = "s3";
};

/// Seconds since the epoch by this machine's clock, and what the server's Date was ahead
/// of it when it was last seen: S3 refuses 15 minutes of difference.
struct SigningTime {
  std::int64_t now = 0;
  std::int64_t server_ahead = 0;
};

/// The headers to send besides `request.headers`: x-amz-date, x-amz-content-sha256,
/// x-amz-security-token where there is one, Authorization.  None for anonymous credentials.
std::vector<std::pair<std::string, std::string>> sign_aws(const AwsRequest& request,
                                                          const AwsCredentials& credentials,
                                                          const AwsScope& scope,
                                                          const SigningTime& time);

/// The query, without `?`, with which anyone may send `request` for `expires_seconds` (at
/// most a week): a secret.  Signs the host and `request.headers`.
Secret presign_aws(const AwsRequest& request, const Parameters& query,
                   const AwsCredentials& credentials, const AwsScope& scope,
                   const SigningTime& time, std::uint32_t expires_seconds);

}  // namespace mad
