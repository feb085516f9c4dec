#include <algorithm>

#include "credentials/azure_providers.hpp"
#include "credentials/encoding.hpp"

namespace mad {

std::string azure_token_url(const Surroundings& surroundings, const std::string& tenant) {
  const bool valid = std::all_of(tenant.begin(), tenant.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
  if (!valid) throw invalid_credentials("AZURE_TENANT_ID", "expected a UUID or a domain");
  std::string host =
      surroundings.variable("AZURE_AUTHORITY_HOST").value_or("https://login.microsoftonline.com");
  require_private_url(host, "AZURE_AUTHORITY_HOST");
  while (host.back() == '/') host.pop_back();
  return host + '/' + tenant + "/oauth2/v2.0/token";
}

AzureProvider azure_service_principal(const Surroundings& surroundings) {
  return {[surroundings](Looked& looked) -> std::optional<AzureCredentials> {
    const auto tenant = surroundings.variable("AZURE_TENANT_ID");
    const auto client = surroundings.variable("AZURE_CLIENT_ID");
    auto value = surroundings.variable("AZURE_CLIENT_SECRET");
    if (!tenant || !client || !value) {
      looked.push_back(std::string("service principal: ") +
                       (!tenant   ? "AZURE_TENANT_ID"
                        : !client ? "AZURE_CLIENT_ID"
                                  : "AZURE_CLIENT_SECRET") +
                       " is not set");
      return std::nullopt;
    }
    const Secret secret(std::move(*value));
    const std::string url = azure_token_url(surroundings, *tenant);
    std::string form = format_form({{"grant_type", "client_credentials"},
                                    {"client_id", *client},
                                    {"scope", "https://storage.azure.com/.default"}});
    std::string encoded = percent_encode(secret.reveal());
    form += "&client_secret=" + encoded;
    wipe(encoded);
    const std::int64_t now = surroundings.now();
    const std::string subject = "service principal";
    const HttpAnswer answer =
        ask_service(surroundings, oauth_ask(url, Secret(std::move(form))), subject);
    const OAuthToken token = read_oauth_answer(answer, subject, now);
    return AzureCredentials{AzureBearer{token.token}, token.expires_at, subject};
  }};
}

}  // namespace mad
