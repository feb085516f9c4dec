#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "credentials/secret.hpp"
#include "credentials/source.hpp"
#include "credentials/surroundings.hpp"

namespace mad {

/// What an `Authorization: Bearer` carries.
struct GoogleCredentials {
  Secret access_token;
  std::optional<std::int64_t> expires_at;
  std::string provider;

  /// Requests then carry no Authorization.
  bool anonymous() const { return access_token.empty(); }

  friend bool operator==(const GoogleCredentials& a, const GoogleCredentials& b) {
    return a.access_token == b.access_token;
  }
};
using GoogleCredentialsSource = CredentialsSource<GoogleCredentials>;

struct GoogleOptions {
  std::string endpoint_url;
  /// --no-sign-request.
  bool anonymous = false;
};

/// Google's application default credentials, in their order:
/// GOOGLE_APPLICATION_CREDENTIALS, the file that `gcloud auth application-default login`
/// writes, the metadata server.  Files of type `service_account` and `authorized_user`.
/// Where STORAGE_EMULATOR_HOST is the endpoint, or on request, anonymous.
///
/// Opens nothing yet; errors as open_aws_credentials.
std::unique_ptr<GoogleCredentialsSource> open_google_credentials(const Surroundings& surroundings,
                                                                 const GoogleOptions& options);

struct GoogleSettings {
  /// http(s)://HOST[:PORT][/PATH] without a slash at its end.
  std::string endpoint_url;
  bool emulator = false;
};

/// Option, STORAGE_EMULATOR_HOST (with or without scheme: http), storage.googleapis.com.
/// Throws Error(usage) for an endpoint that is none.
GoogleSettings resolve_google_settings(const Surroundings& surroundings,
                                       const GoogleOptions& options);

}  // namespace mad
