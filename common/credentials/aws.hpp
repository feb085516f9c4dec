#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "credentials/secret.hpp"
#include "credentials/source.hpp"
#include "credentials/surroundings.hpp"

namespace mad {

struct AwsCredentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;  ///< empty where they are permanent
  std::optional<std::int64_t> expires_at;
  std::string provider;

  /// Requests are then not signed at all.
  bool anonymous() const { return access_key_id.empty(); }

  friend bool operator==(const AwsCredentials& a, const AwsCredentials& b) {
    return a.access_key_id == b.access_key_id && a.secret_access_key == b.secret_access_key &&
           a.session_token == b.session_token;
  }
};
using AwsCredentialsSource = CredentialsSource<AwsCredentials>;

struct AwsOptions {
  /// Given by option, it beats AWS_PROFILE and puts the environment's keys aside.
  std::string profile;
  std::string region;
  std::string endpoint_url;
  /// --no-sign-request.
  bool anonymous = false;
};

/// The places of the AWS tools, in their order: environment, web identity, shared
/// credentials file, credential_process, config file, container, instance metadata.
///
/// Opens nothing yet.  What it throws when asked: Error(access_denied) with
/// `no-credentials`, `credentials-invalid` (a place is set up wrongly),
/// `credentials-refused` (a service said no); Error(remote) where a service that was set
/// up does not answer.
std::unique_ptr<AwsCredentialsSource> open_aws_credentials(const Surroundings& surroundings,
                                                           const AwsOptions& options);

enum class AwsAddressing { automatic, path, virtual_host };

struct AwsSettings {
  std::string region;
  /// Nothing said the region: S3 answers with x-amz-bucket-region where it is wrong.
  bool region_is_guess = false;
  /// http(s)://HOST[:PORT][/PATH] without a slash at its end; empty: AWS's own.
  std::string endpoint_url;
  /// What the profile says (`s3 =`, `addressing_style =`).  automatic: path-style where
  /// the endpoint is not AWS's own.
  AwsAddressing addressing = AwsAddressing::automatic;
};

/// Region: option, AWS_REGION, AWS_DEFAULT_REGION, profile, instance metadata (not with
/// an endpoint of one's own, nor anonymously), us-east-1.  Endpoint: option,
/// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, profile (its `services` section first); the last
/// three not under AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true.  Throws Error(usage) for a
/// region or endpoint that is none.
AwsSettings resolve_aws_settings(const Surroundings& surroundings, const AwsOptions& options);

/// `amazonaws.com`, or what it is in the partition of `region`.
std::string aws_domain(const std::string& region);

}  // namespace mad
