#include "credentials/google_providers.hpp"

namespace mad {
namespace {

struct Place {
  std::string path;
  FilePlace place = FilePlace::usual;
  /// The file itself, not its directory.
  bool named = false;
};

Place find_place(const Surroundings& surroundings) {
  if (const auto path = surroundings.variable("GOOGLE_APPLICATION_CREDENTIALS")) {
    return {surroundings.expand_home(*path), FilePlace::named, true};
  }
  const auto directory = surroundings.variable("CLOUDSDK_CONFIG");
  return {surroundings.expand_home(directory.value_or("~/.config/gcloud")) +
              "/application_default_credentials.json",
          directory ? FilePlace::named : FilePlace::usual, false};
}

}  // namespace

GoogleProvider google_file(const Surroundings& surroundings) {
  return {[surroundings](Looked& looked) -> std::optional<GoogleCredentials> {
    const Place place = find_place(surroundings);
    const std::string subject = printable(place.path);
    const auto text = read_credentials_file(place.path, place.place);
    if (!text) {
      if (place.named) {
        throw invalid_credentials(subject,
                                  "GOOGLE_APPLICATION_CREDENTIALS names it; found no such file");
      }
      looked.emplace_back("environment: GOOGLE_APPLICATION_CREDENTIALS is not set");
      looked.push_back(subject + ": no such file");
      return std::nullopt;
    }
    const JsonFields file(*text, subject);
    const std::string type = file.require_text("type");
    if (type == "service_account") return google_service_account(surroundings, file);
    if (type == "authorized_user") return google_authorized_user(surroundings, file);
    throw invalid_credentials(
        subject,
        "expected the type 'service_account' or 'authorized_user', found " +
            std::string(type == "external_account" || type == "impersonated_service_account"
                            ? "'" + type + "', which is not supported"
                            : "another"));
  }};
}

}  // namespace mad
