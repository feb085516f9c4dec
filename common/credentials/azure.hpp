#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "credentials/azure_shared_key.hpp"
#include "credentials/secret.hpp"
#include "credentials/source.hpp"
#include "credentials/surroundings.hpp"

namespace mad {

/// Requests then carry no authorization: a public container.
struct AzureAnonymous {};
/// A shared access signature: the query without its `?`, percent-encoded as it goes into
/// the URL, beside the request's own.
struct AzureSas {
  Secret query;
};
/// What an `Authorization: Bearer` carries; with x-ms-version 2017-11-09 or later.
struct AzureBearer {
  Secret token;
};

struct AzureCredentials {
  std::variant<AzureAnonymous, AzureSharedKey, AzureSas, AzureBearer> authorization;
  std::optional<std::int64_t> expires_at;
  std::string provider;

  friend bool operator==(const AzureCredentials& a, const AzureCredentials& b);
};
using AzureCredentialsSource = CredentialsSource<AzureCredentials>;

struct AzureOptions {
  /// Of `az://ACCOUNT/CONTAINER/BLOB` or of the host; empty: the environment's.
  std::string account;
  std::string endpoint_url;
  /// The URL's own signature: it beats all else.
  Secret sas;
  /// --no-sign-request.
  bool anonymous = false;
};

struct AzureSettings {
  std::string account;
  /// http(s)://HOST[:PORT][/PATH] without a slash at its end; an emulator's path is the
  /// account.
  std::string blob_endpoint;
};

/// The account that the environment says; empty: none.
std::string azure_environment_account(const Surroundings& surroundings);

/// Account: option, AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT.  Endpoint:
/// option, connection string where it is of that account, ACCOUNT.blob.core.windows.net.
/// Throws Error(usage) where nothing says the account, for one that is none (3 to 24
/// lower-case letters and digits), and for an endpoint that is none.
AzureSettings resolve_azure_settings(const Surroundings& surroundings, const AzureOptions& options);

/// In this order: the URL's signature, AZURE_STORAGE_CONNECTION_STRING,
/// AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, service principal (AZURE_TENANT_ID,
/// _CLIENT_ID, _CLIENT_SECRET), workload identity (AZURE_FEDERATED_TOKEN_FILE), managed
/// identity.  A key or signature of the environment's account goes to no other.
///
/// Opens nothing yet; errors as open_aws_credentials.
std::unique_ptr<AzureCredentialsSource> open_azure_credentials(const Surroundings& surroundings,
                                                               const AzureOptions& options);

}  // namespace mad
