#include "credentials/azure_providers.hpp"
#include "credentials/encoding.hpp"

namespace mad {
namespace {

constexpr const char* k_account = "AZURE_STORAGE_ACCOUNT";

/// The value of `name` together with the account it is for; nothing where either is
/// missing, or the URL is about another account.
struct Pair {
  std::string account;
  Secret value;
};
std::optional<Pair> find_pair(const Surroundings& surroundings, const AzureOptions& options,
                              const char* name, Looked& looked) {
  auto value = surroundings.variable(name);
  if (!value) {
    looked.push_back(std::string("environment: ") + name + " is not set");
    return std::nullopt;
  }
  Secret secret(std::move(*value));
  const auto account = surroundings.variable(k_account);
  if (account && !options.account.empty() && *account != options.account) {
    looked.push_back(std::string("environment: ") + name + " is for another account");
    return std::nullopt;
  }
  if (!account && options.account.empty()) {
    throw invalid_credentials("environment", std::string(name) + " is set without " + k_account);
  }
  return Pair{account.value_or(options.account), std::move(secret)};
}

}  // namespace

AzureSharedKey make_shared_key(const std::string& account, const Secret& key,
                               const std::string& subject) {
  auto bytes = base64_decode(key.reveal());
  if (!bytes || bytes->empty()) {
    throw invalid_credentials(subject, "expected the account's key as base64");
  }
  return {account, Secret(std::move(*bytes))};
}

AzureSas make_sas(const Secret& text, const std::string& subject) {
  std::string_view query = text.reveal();
  if (query.substr(0, 1) == "?") query.remove_prefix(1);
  const bool is_signed = query.rfind("sig=", 0) == 0 || query.find("&sig=") != query.npos;
  if (!is_token(query) || query.find('#') != query.npos || !is_signed) {
    throw invalid_credentials(subject, "expected a shared access signature: a query with 'sig'");
  }
  return {Secret::copy_of(query)};
}

AzureProvider azure_account_key(const Surroundings& surroundings, const AzureOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AzureCredentials> {
    const auto pair = find_pair(surroundings, options, "AZURE_STORAGE_KEY", looked);
    if (!pair) return std::nullopt;
    return AzureCredentials{
        make_shared_key(pair->account, pair->value, "AZURE_STORAGE_KEY"), {}, "AZURE_STORAGE_KEY"};
  }};
}

AzureProvider azure_account_sas(const Surroundings& surroundings, const AzureOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AzureCredentials> {
    const auto pair = find_pair(surroundings, options, "AZURE_STORAGE_SAS_TOKEN", looked);
    if (!pair) return std::nullopt;
    return AzureCredentials{
        make_sas(pair->value, "AZURE_STORAGE_SAS_TOKEN"), {}, "AZURE_STORAGE_SAS_TOKEN"};
  }};
}

}  // namespace mad
