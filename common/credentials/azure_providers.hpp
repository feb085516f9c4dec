#pragma once

#include <optional>
#include <string>

#include "credentials/azure.hpp"
#include "credentials/service.hpp"

namespace mad {

/// The places that open_azure_credentials asks, in its order.
using AzureProvider = Provider<AzureCredentials>;

AzureProvider azure_connection_string(const Surroundings& surroundings,
                                      const AzureOptions& options);
AzureProvider azure_account_key(const Surroundings& surroundings, const AzureOptions& options);
AzureProvider azure_account_sas(const Surroundings& surroundings, const AzureOptions& options);
AzureProvider azure_service_principal(const Surroundings& surroundings);
AzureProvider azure_workload_identity(const Surroundings& surroundings);
AzureProvider azure_managed_identity(const Surroundings& surroundings);

/// AZURE_STORAGE_CONNECTION_STRING, read.
struct AzureConnection {
  std::string account;
  std::string blob_endpoint;  ///< empty: the public cloud's
  Secret key;                 ///< base64; empty where it has none
  Secret sas;
};
/// Nothing where it is not set.  Throws invalid_credentials, quoting nothing.
std::optional<AzureConnection> read_azure_connection(const Surroundings& surroundings);

/// Throws invalid_credentials(`subject`) where `key` is no base64.
AzureSharedKey make_shared_key(const std::string& account, const Secret& key,
                               const std::string& subject);
/// Without its `?`.  Throws invalid_credentials(`subject`) where it is no query.
AzureSas make_sas(const Secret& text, const std::string& subject);

/// The token endpoint of a tenant, at AZURE_AUTHORITY_HOST or the public cloud's.
std::string azure_token_url(const Surroundings& surroundings, const std::string& tenant);

}  // namespace mad
