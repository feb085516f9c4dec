#include "credentials/google.hpp"

#include "credentials/google_providers.hpp"

namespace mad {
namespace {

std::string checked_endpoint(std::string url, const std::string& subject) {
  if (!parse_service_url(url) || url.find_first_of("?#") != std::string::npos) {
    // Not quoted: it may hold userinfo.
    throw Error(ExitCode::usage, "usage", subject,
                "expected http(s)://HOST[:PORT][/PATH] without userinfo or query");
  }
  while (url.back() == '/') url.pop_back();
  return url;
}

}  // namespace

std::unique_ptr<GoogleCredentialsSource> open_google_credentials(const Surroundings& surroundings,
                                                                 const GoogleOptions& options) {
  std::vector<GoogleProvider> chain;
  if (options.anonymous || resolve_google_settings(surroundings, options).emulator) {
    chain.push_back({[](Looked&) {
      GoogleCredentials none;
      none.provider = "none: anonymous";
      return std::optional(none);
    }});
  } else {
    chain = {google_file(surroundings), google_metadata(surroundings)};
  }
  return std::make_unique<GoogleCredentialsSource>(
      "gs",
      "set GOOGLE_APPLICATION_CREDENTIALS to a service account's file, or say --no-sign-request "
      "for a public bucket",
      std::move(chain), surroundings.now);
}

GoogleSettings resolve_google_settings(const Surroundings& surroundings,
                                       const GoogleOptions& options) {
  GoogleSettings settings;
  if (!options.endpoint_url.empty()) {
    settings.endpoint_url = checked_endpoint(options.endpoint_url, "endpoint URL");
  } else if (const auto host = surroundings.variable("STORAGE_EMULATOR_HOST")) {
    const bool schemed = host->find("://") != std::string::npos;
    settings.endpoint_url =
        checked_endpoint((schemed ? "" : "http://") + *host, "STORAGE_EMULATOR_HOST");
    settings.emulator = true;
  } else {
    settings.endpoint_url = "https://storage.googleapis.com";
  }
  return settings;
}

}  // namespace mad
