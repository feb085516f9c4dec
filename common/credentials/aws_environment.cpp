#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"

namespace mad {

AwsProvider aws_environment(const Surroundings& surroundings, const AwsOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AwsCredentials> {
    if (!options.profile.empty()) {
      looked.emplace_back("environment: put aside, since a profile was given");
      return std::nullopt;
    }
    auto id = surroundings.variable("AWS_ACCESS_KEY_ID");
    auto key = surroundings.variable("AWS_SECRET_ACCESS_KEY");
    if (!id && !key) {
      looked.emplace_back("environment: AWS_ACCESS_KEY_ID is not set");
      return std::nullopt;
    }
    auto token = surroundings.variable("AWS_SESSION_TOKEN");
    AwsCredentials credentials;
    credentials.provider = "the environment";
    if (key) credentials.secret_access_key = Secret(std::move(*key));
    if (token) credentials.session_token = Secret(std::move(*token));
    if (!id || credentials.secret_access_key.empty()) {
      throw invalid_credentials("environment",
                                std::string(id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY") +
                                    " is set without " +
                                    (id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID"));
    }
    if (!is_token(*id) ||
        (!credentials.session_token.empty() && !is_token(credentials.session_token.reveal()))) {
      throw invalid_credentials("environment",
                                "expected AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN to be printable "
                                "ASCII without blanks");
    }
    credentials.access_key_id = *id;
    return credentials;
  }};
}

}  // namespace mad
