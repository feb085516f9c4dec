#include <map>

#include "base/text.hpp"
#include "credentials/azure_providers.hpp"

namespace mad {
namespace {

constexpr const char* k_variable = "AZURE_STORAGE_CONNECTION_STRING";

// Azurite's, the same everywhere and in public: learn.microsoft.com/azure/storage/common/
// storage-connect-azurite.
constexpr const char* k_emulator_account = "devstoreaccount1";
constexpr const char* k_emulator_endpoint = "http://127.0.0.1:10000/devstoreaccount1";
constexpr const char* k_emulator_key =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// `Name=value;…`, names in any case.
std::map<std::string, Secret> parse_settings(std::string_view text) {
  std::map<std::string, Secret> settings;
  std::size_t position = 0;
  for (std::string_view setting : split(text, ';')) {
    ++position;
    if (setting.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
    setting.remove_prefix(setting.find_first_not_of(" \t\r\n"));
    const auto equals = setting.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw invalid_credentials(k_variable, "setting " + std::to_string(position) +
                                                ": expected 'Name=value', settings with ';' "
                                                "between them");
    }
    Secret value = Secret::copy_of(setting.substr(equals + 1));
    if (!settings.emplace(lower_ascii(setting.substr(0, equals)), value).second) {
      throw invalid_credentials(
          k_variable, "setting " + std::to_string(position) + ": expected each name once");
    }
  }
  return settings;
}

/// `https://ACCOUNT.blob.…` says the account where nothing else does.
std::string account_of(const std::string& endpoint) {
  const auto url = parse_service_url(endpoint);
  const auto at = url ? url->host.find(".blob.") : std::string::npos;
  return at == std::string::npos ? std::string() : url->host.substr(0, at);
}

AzureConnection connection_of(const std::map<std::string, Secret>& settings) {
  const auto secret = [&](const char* name) {
    const auto at = settings.find(name);
    return at == settings.end() ? Secret() : at->second;
  };
  const auto text = [&](const char* name) { return std::string(secret(name).reveal()); };
  AzureConnection connection;
  if (lower_ascii(text("usedevelopmentstorage")) == "true") {
    connection.account = k_emulator_account;
    connection.blob_endpoint = k_emulator_endpoint;
    connection.key = Secret(k_emulator_key);
    return connection;
  }
  connection.account = text("accountname");
  connection.key = secret("accountkey");
  connection.sas = secret("sharedaccesssignature");
  connection.blob_endpoint = text("blobendpoint");
  if (connection.account.empty()) connection.account = account_of(connection.blob_endpoint);
  if (connection.blob_endpoint.empty() && !connection.account.empty()) {
    const std::string suffix = text("endpointsuffix");
    const std::string protocol = lower_ascii(text("defaultendpointsprotocol"));
    connection.blob_endpoint = (protocol == "http" ? "http://" : "https://") + connection.account +
                               ".blob." + (suffix.empty() ? "core.windows.net" : suffix);
  }
  return connection;
}

}  // namespace

std::optional<AzureConnection> read_azure_connection(const Surroundings& surroundings) {
  auto text = surroundings.variable(k_variable);
  if (!text) return std::nullopt;
  const Secret whole(std::move(*text));
  AzureConnection connection = connection_of(parse_settings(whole.reveal()));
  if (connection.account.empty() && connection.blob_endpoint.empty()) {
    throw invalid_credentials(k_variable,
                              "expected AccountName, BlobEndpoint or UseDevelopmentStorage=true");
  }
  return connection;
}

AzureProvider azure_connection_string(const Surroundings& surroundings,
                                      const AzureOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AzureCredentials> {
    const auto connection = read_azure_connection(surroundings);
    if (!connection) {
      looked.push_back(std::string("environment: ") + k_variable + " is not set");
      return std::nullopt;
    }
    if (!options.account.empty() && options.account != connection->account) {
      looked.push_back(std::string("environment: ") + k_variable + " is for another account");
      return std::nullopt;
    }
    const std::string provider = "the connection string";
    if (!connection->key.empty()) {
      return AzureCredentials{
          make_shared_key(connection->account, connection->key, k_variable), {}, provider};
    }
    if (!connection->sas.empty()) {
      return AzureCredentials{make_sas(connection->sas, k_variable), {}, provider};
    }
    looked.push_back(std::string("environment: ") + k_variable +
                     " has neither AccountKey nor SharedAccessSignature");
    return std::nullopt;
  }};
}

}  // namespace mad
