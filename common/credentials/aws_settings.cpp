#include <algorithm>

#include "credentials/aws_metadata.hpp"
#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"

namespace mad {
namespace {

/// It becomes part of a host's name.
void require_region(const std::string& region) {
  const bool valid = region.size() <= 63 && std::all_of(region.begin(), region.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_';
                     });
  if (!valid) {
    throw Error(ExitCode::usage, "usage", printable(region),
                "expected a region: letters, digits and '-'");
  }
}

std::string find_endpoint(const Surroundings& surroundings, const AwsOptions& options,
                          const AwsProfile& profile) {
  if (!options.endpoint_url.empty()) return options.endpoint_url;
  if (surroundings.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") == "true")
    return {};
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (auto url = surroundings.variable(name)) return *url;
  }
  if (profile.services) {
    if (auto url = profile.services->text("s3.endpoint_url")) return *url;
  }
  return profile.text("endpoint_url").value_or("");
}

/// Not quoted where it is wrong: it may hold userinfo.
std::string checked_endpoint(std::string url) {
  if (url.empty()) return url;
  if (!parse_service_url(url) || url.find_first_of("?#") != std::string::npos) {
    throw Error(ExitCode::usage, "usage", "endpoint URL",
                "expected http(s)://HOST[:PORT][/PATH] without userinfo or query");
  }
  while (url.back() == '/') url.pop_back();
  return url;
}

AwsAddressing addressing_of(const AwsProfile& profile) {
  const std::string style = profile.text("s3.addressing_style").value_or("auto");
  if (style == "path") return AwsAddressing::path;
  if (style == "virtual") return AwsAddressing::virtual_host;
  return AwsAddressing::automatic;
}

std::optional<std::string> region_of_instance(const Surroundings& surroundings) {
  AwsMetadata metadata(surroundings);
  try {
    const auto region = metadata.get("/latest/meta-data/placement/region");
    if (region && is_token(region->reveal())) return std::string(region->reveal());
  } catch (const Error& error) {
    log_verbose("no region from instance metadata: " + error.one_line());
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_aws_region(const Surroundings& surroundings,
                                           const AwsOptions& options, const AwsProfile& profile) {
  std::optional<std::string> region;
  if (!options.region.empty()) region = options.region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (!region) region = surroundings.variable(name);
  }
  if (!region) region = profile.text("region");
  if (region) require_region(*region);
  return region;
}

AwsSettings resolve_aws_settings(const Surroundings& surroundings, const AwsOptions& options) {
  const AwsProfile profile = read_aws_profile(surroundings, options);
  AwsSettings settings;
  settings.endpoint_url = checked_endpoint(find_endpoint(surroundings, options, profile));
  settings.addressing = addressing_of(profile);
  auto region = find_aws_region(surroundings, options, profile);
  if (!region && settings.endpoint_url.empty() && !options.anonymous) {
    region = region_of_instance(surroundings);
    if (region) require_region(*region);
  }
  settings.region_is_guess = !region;
  settings.region = region.value_or("us-east-1");
  return settings;
}

std::string aws_domain(const std::string& region) {
  return region.rfind("cn-", 0) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
}

}  // namespace mad
