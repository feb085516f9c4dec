#include "credentials/azure.hpp"

#include <algorithm>

#include "credentials/azure_providers.hpp"

namespace mad {
namespace {

Error usage_error(const std::string& subject, const std::string& what) {
  return {ExitCode::usage, "usage", subject, what};
}

/// It becomes part of a host's name and of what is signed.
void require_account(const std::string& account) {
  const bool valid = account.size() >= 3 && account.size() <= 24 &&
                     std::all_of(account.begin(), account.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                     });
  if (!valid) {
    throw usage_error(printable(account),
                      "expected a storage account: 3 to 24 lower-case letters and digits");
  }
}

/// Not quoted where it is wrong: it may hold a signature.
std::string checked_blob_endpoint(std::string url) {
  if (!parse_service_url(url) || url.find_first_of("?#") != std::string::npos) {
    throw usage_error("endpoint URL",
                      "expected http(s)://HOST[:PORT][/PATH] without userinfo or query");
  }
  while (url.back() == '/') url.pop_back();
  return url;
}

AzureProvider fixed(const AzureCredentials& credentials) {
  return {[credentials](Looked&) { return std::optional(credentials); }};
}

}  // namespace

bool operator==(const AzureCredentials& a, const AzureCredentials& b) {
  if (a.authorization.index() != b.authorization.index()) return false;
  if (const auto* key = std::get_if<AzureSharedKey>(&a.authorization)) {
    const auto& other = std::get<AzureSharedKey>(b.authorization);
    return key->account == other.account && key->key == other.key;
  }
  if (const auto* sas = std::get_if<AzureSas>(&a.authorization)) {
    return sas->query == std::get<AzureSas>(b.authorization).query;
  }
  if (const auto* bearer = std::get_if<AzureBearer>(&a.authorization)) {
    return bearer->token == std::get<AzureBearer>(b.authorization).token;
  }
  return true;
}

std::string azure_environment_account(const Surroundings& surroundings) {
  const auto connection = read_azure_connection(surroundings);
  if (connection && !connection->account.empty()) return connection->account;
  return surroundings.variable("AZURE_STORAGE_ACCOUNT").value_or("");
}

AzureSettings resolve_azure_settings(const Surroundings& surroundings,
                                     const AzureOptions& options) {
  const auto connection = read_azure_connection(surroundings);
  AzureSettings settings;
  settings.account =
      options.account.empty() ? azure_environment_account(surroundings) : options.account;
  if (settings.account.empty()) {
    throw Error(ExitCode::usage, "usage", "az", "expected a storage account, found none",
                "set AZURE_STORAGE_ACCOUNT, or give az://ACCOUNT/CONTAINER/BLOB");
  }
  require_account(settings.account);
  if (!options.endpoint_url.empty()) {
    settings.blob_endpoint = options.endpoint_url;
  } else if (connection && connection->account == settings.account &&
             !connection->blob_endpoint.empty()) {
    settings.blob_endpoint = connection->blob_endpoint;
  } else {
    settings.blob_endpoint = "https://" + settings.account + ".blob.core.windows.net";
  }
  settings.blob_endpoint = checked_blob_endpoint(settings.blob_endpoint);
  return settings;
}

std::unique_ptr<AzureCredentialsSource> open_azure_credentials(const Surroundings& surroundings,
                                                               const AzureOptions& options) {
  std::vector<AzureProvider> chain;
  if (!options.sas.empty()) {
    chain = {fixed({make_sas(options.sas, "the URL's signature"), {}, "the URL"})};
  } else if (options.anonymous) {
    chain = {fixed({AzureAnonymous{}, {}, "--no-sign-request"})};
  } else {
    chain = {
        azure_connection_string(surroundings, options), azure_account_key(surroundings, options),
        azure_account_sas(surroundings, options),       azure_service_principal(surroundings),
        azure_workload_identity(surroundings),          azure_managed_identity(surroundings)};
  }
  return std::make_unique<AzureCredentialsSource>(
      "az",
      "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or "
      "say --no-sign-request for a public container",
      std::move(chain), surroundings.now);
}

}  // namespace mad
