#include "credentials/aws_providers.hpp"

namespace mad {

AwsProvider aws_config_file(const Surroundings& surroundings, const AwsOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AwsCredentials> {
    const AwsProfile profile = read_aws_profile(surroundings, options);
    if (profile.config) {
      auto keys = read_aws_keys(*profile.config, profile.config_path, profile.name);
      if (keys) return keys;
    }
    looked.push_back(printable(profile.config_path) + ": no keys for profile " +
                     printable(profile.name));
    return std::nullopt;
  }};
}

}  // namespace mad
