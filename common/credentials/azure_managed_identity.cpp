#include "credentials/azure_providers.hpp"
#include "credentials/encoding.hpp"

namespace mad {
namespace {

constexpr const char* k_managed_identity = "managed identity";
constexpr const char* k_url =
    "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&"
    "resource=https://storage.azure.com/";

HttpAsk ask_for_token(const Surroundings& surroundings, bool answered) {
  HttpAsk ask;
  ask.url = k_url;
  // Of several identities of the machine, the one that is named.
  if (const auto client = surroundings.variable("AZURE_CLIENT_ID")) {
    ask.url += "&client_id=" + percent_encode(*client);
  }
  ask.proxy = ProxyUse::never;
  // It answers in milliseconds where it is, a first token takes seconds; elsewhere the
  // address swallows packets.
  ask.timeout = std::chrono::seconds(answered ? 10 : 3);
  ask.headers.emplace_back("Metadata", Secret("true"));
  return ask;
}

}  // namespace

AzureProvider azure_managed_identity(const Surroundings& surroundings) {
  auto answered = std::make_shared<bool>(false);
  return {[surroundings, answered](Looked& looked) -> std::optional<AzureCredentials> {
    const std::int64_t now = surroundings.now();
    HttpAnswer answer;
    try {
      answer = ask_service(surroundings, ask_for_token(surroundings, *answered), k_managed_identity,
                           *answered ? 3 : 2);
    } catch (const Error& error) {
      if (*answered || error.code != ExitCode::remote ||
          has_metadata_service(surroundings, error, Cloud::azure)) {
        throw;
      }
      looked.push_back(std::string(k_managed_identity) + ": no answer from 169.254.169.254");
      return std::nullopt;
    }
    // 400 is a machine without an identity, 404 another cloud's service.
    if (!*answered && answer.status != 200) {
      looked.push_back(std::string(k_managed_identity) + ": HTTP " + std::to_string(answer.status) +
                       " from 169.254.169.254");
      return std::nullopt;
    }
    const OAuthToken token = read_oauth_answer(answer, k_managed_identity, now);
    *answered = true;
    return AzureCredentials{AzureBearer{token.token}, token.expires_at, k_managed_identity};
  }};
}

}  // namespace mad
