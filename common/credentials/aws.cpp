#include "credentials/aws.hpp"

#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"
#include "credentials/time.hpp"

namespace mad {

std::unique_ptr<AwsCredentialsSource> open_aws_credentials(const Surroundings& surroundings,
                                                           const AwsOptions& options) {
  std::vector<AwsProvider> chain;
  if (options.anonymous) {
    chain.push_back({[](Looked&) {
      AwsCredentials none;
      none.provider = "--no-sign-request";
      return std::optional(none);
    }});
  } else {
    chain = {aws_environment(surroundings, options),      aws_web_identity(surroundings, options),
             aws_credentials_file(surroundings, options), aws_process(surroundings, options),
             aws_config_file(surroundings, options),      aws_container(surroundings),
             aws_instance_metadata(surroundings)};
  }
  return std::make_unique<AwsCredentialsSource>(
      "s3",
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or say --no-sign-request for a "
      "public bucket",
      std::move(chain), surroundings.now);
}

AwsCredentials read_aws_json(const Secret& text, const std::string& subject,
                             const std::string& token_name, const std::string& provider) {
  const JsonFields fields(text, subject);
  AwsCredentials credentials;
  credentials.provider = provider;
  credentials.access_key_id = fields.require_text("AccessKeyId");
  credentials.secret_access_key = fields.require("SecretAccessKey");
  if (!fields.find(token_name).empty()) {
    credentials.session_token = fields.require_token(token_name);
  }
  if (!fields.find("Expiration").empty()) {
    credentials.expires_at = parse_timestamp(fields.find("Expiration").reveal());
    if (!credentials.expires_at) {
      throw invalid_credentials(subject, "expected 'Expiration' to be an RFC 3339 time");
    }
  }
  return credentials;
}

}  // namespace mad
