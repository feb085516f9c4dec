#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"

namespace mad {
namespace {

void require_profile(const AwsProfile& profile) {
  if (!profile.named || profile.credentials || profile.config) return;
  throw Error(ExitCode::access_denied, "no-credentials", "profile " + printable(profile.name),
              "expected it in " + printable(profile.credentials_path) + " or " +
                  printable(profile.config_path) + ", found it in neither");
}

/// Going on to another place would act as somebody else than the profile says.
void refuse_unsupported(const AwsProfile& profile) {
  const char* needs = nullptr;
  if (profile.text("role_arn") && !profile.text("web_identity_token_file")) {
    needs = "assumes a role (role_arn)";
  } else if (profile.text("sso_session") || profile.text("sso_start_url")) {
    needs = "signs in through SSO";
  }
  if (needs == nullptr) return;
  throw Error(ExitCode::access_denied, "no-credentials", "profile " + printable(profile.name),
              std::string(needs) +
                  ", which is not supported; expected keys, a web identity or credential_process",
              "in a profile of its own: credential_process = aws configure export-credentials "
              "--format process --profile " +
                  printable(profile.name));
}

}  // namespace

std::optional<AwsCredentials> read_aws_keys(const AwsSection& section, const std::string& path,
                                            const std::string& profile) {
  const auto id = section.text("aws_access_key_id");
  AwsCredentials credentials;
  credentials.provider = path;
  credentials.secret_access_key = section.find("aws_secret_access_key");
  credentials.session_token = section.find("aws_session_token");
  if (!id && credentials.secret_access_key.empty()) return std::nullopt;
  const std::string subject = printable(path) + ": profile " + printable(profile);
  if (!id || credentials.secret_access_key.empty()) {
    throw invalid_credentials(subject,
                              std::string("expected aws_access_key_id and aws_secret_access_key, "
                                          "found only ") +
                                  (id ? "the first" : "the second"));
  }
  if (!is_token(*id) ||
      (!credentials.session_token.empty() && !is_token(credentials.session_token.reveal()))) {
    throw invalid_credentials(subject,
                              "expected aws_access_key_id and aws_session_token to be printable "
                              "ASCII without blanks");
  }
  credentials.access_key_id = *id;
  return credentials;
}

AwsProvider aws_credentials_file(const Surroundings& surroundings, const AwsOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AwsCredentials> {
    const AwsProfile profile = read_aws_profile(surroundings, options);
    require_profile(profile);
    refuse_unsupported(profile);
    if (profile.credentials) {
      auto keys = read_aws_keys(*profile.credentials, profile.credentials_path, profile.name);
      if (keys) return keys;
    }
    looked.push_back(printable(profile.credentials_path) + ": no keys for profile " +
                     printable(profile.name));
    return std::nullopt;
  }};
}

}  // namespace mad
