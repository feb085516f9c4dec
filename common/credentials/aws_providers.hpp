#pragma once

#include <string>

#include "credentials/aws.hpp"
#include "credentials/aws_profile.hpp"
#include "credentials/source.hpp"

namespace mad {

/// The places that open_aws_credentials asks, in its order; one file each.
using AwsProvider = Provider<AwsCredentials>;

AwsProvider aws_environment(const Surroundings& surroundings, const AwsOptions& options);
AwsProvider aws_web_identity(const Surroundings& surroundings, const AwsOptions& options);
AwsProvider aws_credentials_file(const Surroundings& surroundings, const AwsOptions& options);
AwsProvider aws_process(const Surroundings& surroundings, const AwsOptions& options);
AwsProvider aws_config_file(const Surroundings& surroundings, const AwsOptions& options);
AwsProvider aws_container(const Surroundings& surroundings);
AwsProvider aws_instance_metadata(const Surroundings& surroundings);

/// `AccessKeyId`, `SecretAccessKey`, `token_name` and `Expiration` of a JSON object.
AwsCredentials read_aws_json(const Secret& text, const std::string& subject,
                             const std::string& token_name, const std::string& provider);

/// The static keys of a section; nothing where it has none.  Throws invalid_credentials
/// where it has one without the other.
std::optional<AwsCredentials> read_aws_keys(const AwsSection& section, const std::string& path,
                                            const std::string& profile);

/// The region that options, environment or profile say.
std::optional<std::string> find_aws_region(const Surroundings& surroundings,
                                           const AwsOptions& options, const AwsProfile& profile);

}  // namespace mad
