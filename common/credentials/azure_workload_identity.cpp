#include "credentials/azure_providers.hpp"
#include "credentials/encoding.hpp"

namespace mad {

AzureProvider azure_workload_identity(const Surroundings& surroundings) {
  return {[surroundings](Looked& looked) -> std::optional<AzureCredentials> {
    const auto path = surroundings.variable("AZURE_FEDERATED_TOKEN_FILE");
    if (!path) {
      looked.emplace_back("workload identity: AZURE_FEDERATED_TOKEN_FILE is not set");
      return std::nullopt;
    }
    const std::string subject = "workload identity";
    const auto tenant = surroundings.variable("AZURE_TENANT_ID");
    const auto client = surroundings.variable("AZURE_CLIENT_ID");
    if (!tenant || !client) {
      throw invalid_credentials(subject, std::string("AZURE_FEDERATED_TOKEN_FILE is set without ") +
                                             (tenant ? "AZURE_CLIENT_ID" : "AZURE_TENANT_ID"));
    }
    const std::string url = azure_token_url(surroundings, *tenant);
    // Read at each renewal: Kubernetes replaces it.
    const Secret assertion = read_token_file(*path);
    std::string form = format_form(
        {{"grant_type", "client_credentials"},
         {"client_id", *client},
         {"scope", "https://storage.azure.com/.default"},
         {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}});
    std::string encoded = percent_encode(assertion.reveal());
    form += "&client_assertion=" + encoded;
    wipe(encoded);
    const std::int64_t now = surroundings.now();
    const HttpAnswer answer =
        ask_service(surroundings, oauth_ask(url, Secret(std::move(form))), subject);
    const OAuthToken token = read_oauth_answer(answer, subject, now);
    return AzureCredentials{AzureBearer{token.token}, token.expires_at, subject};
  }};
}

}  // namespace mad
