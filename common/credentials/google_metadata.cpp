#include "credentials/google_providers.hpp"

namespace mad {
namespace {

constexpr const char* k_metadata_server = "metadata server";
constexpr const char* k_path = "/computeMetadata/v1/instance/service-accounts/default/token";

}  // namespace

GoogleProvider google_metadata(const Surroundings& surroundings) {
  auto answered = std::make_shared<bool>(false);
  return {[surroundings, answered](Looked& looked) -> std::optional<GoogleCredentials> {
    const std::string host =
        surroundings.variable("GCE_METADATA_HOST").value_or("metadata.google.internal");
    HttpAsk ask;
    ask.url = "http://" + host + k_path;
    if (!parse_service_url(ask.url)) {
      throw invalid_credentials("GCE_METADATA_HOST", "expected HOST or HOST:PORT");
    }
    ask.proxy = ProxyUse::never;
    // What is there answers in milliseconds; the first time it may not be there.
    ask.timeout = std::chrono::seconds(*answered ? 5 : 2);
    ask.headers.emplace_back("Metadata-Flavor", Secret("Google"));
    const std::int64_t now = surroundings.now();
    HttpAnswer answer;
    try {
      answer = ask_service(surroundings, ask, k_metadata_server, *answered ? 3 : 2);
    } catch (const Error& error) {
      if (*answered || error.code != ExitCode::remote ||
          has_metadata_service(surroundings, error, Cloud::gcp, "GCE_METADATA_HOST")) {
        throw;
      }
      looked.push_back(std::string(k_metadata_server) + ": no answer from " + printable(host));
      return std::nullopt;
    }
    // Another cloud's service or a hotel's portal would answer something, too.
    if (answer.find("metadata-flavor") != "Google") {
      looked.push_back(std::string(k_metadata_server) + ": " + printable(host) +
                       " is not Google's");
      return std::nullopt;
    }
    if (answer.status == 404) {
      looked.push_back(std::string(k_metadata_server) + ": the machine has no service account");
      return std::nullopt;
    }
    const OAuthToken token = read_oauth_answer(answer, k_metadata_server, now);
    *answered = true;
    return GoogleCredentials{token.token, token.expires_at, k_metadata_server};
  }};
}

}  // namespace mad
