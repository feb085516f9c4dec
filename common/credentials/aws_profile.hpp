#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "credentials/aws.hpp"
#include "credentials/secret.hpp"
#include "credentials/surroundings.hpp"

namespace mad {

/// The keys of a section, in lower case; those of a nested block as `s3.endpoint_url`.
class AwsSection {
 public:
  /// Empty where it is not there.
  Secret find(const std::string& key) const;
  /// What is no secret; nothing where it is not there or empty.
  std::optional<std::string> text(const std::string& key) const;

 private:
  friend class AwsFileParser;
  std::map<std::string, Secret> values_;
};

/// The section of that name (blanks within as one, quotes gone) in the text of a shared
/// credentials or config file (docs.aws.amazon.com/sdkref/latest/guide/file-format.html):
/// `#` and `;` begin comments, after a value with a blank before them; a section that is
/// there twice is one.  At most 100,000 lines.  Throws invalid_credentials with the line's
/// number, never its text.
std::optional<AwsSection> parse_aws_section(std::string_view text, std::string_view section,
                                            const std::string& subject);

/// A profile as the two files together say it.
struct AwsProfile {
  std::string name;
  bool named = false;  ///< by option or AWS_PROFILE, so it must be there
  std::string credentials_path;
  std::string config_path;
  std::optional<AwsSection> credentials;
  std::optional<AwsSection> config;
  /// The `services` section that the profile names.
  std::optional<AwsSection> services;

  /// The credentials file wins.
  std::optional<std::string> text(const std::string& key) const;
};

AwsProfile read_aws_profile(const Surroundings& surroundings, const AwsOptions& options);

}  // namespace mad
