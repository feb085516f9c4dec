#include "credentials/aws_metadata.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"

namespace mad {
namespace {

constexpr const char* k_instance_metadata = "instance metadata";
constexpr const char* k_lifetime = "X-aws-ec2-metadata-token-ttl-seconds";
constexpr const char* k_imds_token = "X-aws-ec2-metadata-token";
constexpr std::int64_t k_imds_token_seconds = 21'600;
constexpr const char* k_roles = "/latest/meta-data/iam/security-credentials/";

/// The first line, where it can be a role's name (IAM: letters, digits, `+=,.@_-`).
std::optional<std::string> role_in(std::string_view text) {
  const std::string_view role = text.substr(0, text.find_first_of("\r\n"));
  const bool valid =
      !role.empty() && role.size() <= 64 && std::all_of(role.begin(), role.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("+=,.@_-").find(c) != std::string_view::npos;
      });
  if (!valid) return std::nullopt;
  return std::string(role);
}

}  // namespace

AwsMetadata::AwsMetadata(Surroundings surroundings, std::string endpoint)
    : surroundings_(std::move(surroundings)), endpoint_(std::move(endpoint)) {
  const auto mode = surroundings_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
  const bool v6 = mode && (*mode == "IPv6" || *mode == "ipv6");
  if (endpoint_.empty()) {
    endpoint_ = surroundings_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
                    .value_or(v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
  }
  while (!endpoint_.empty() && endpoint_.back() == '/') endpoint_.pop_back();
}

HttpAsk AwsMetadata::ask_for(const std::string& path) const {
  HttpAsk ask;
  ask.url = endpoint_ + path;
  ask.proxy = ProxyUse::never;
  // What is there answers in milliseconds; elsewhere the address swallows packets.
  ask.timeout = std::chrono::seconds(answered_ ? 5 : 1);
  return ask;
}

HttpAsk AwsMetadata::ask_for_token() const {
  HttpAsk ask = ask_for("/latest/api/token");
  ask.method = "PUT";
  ask.headers.emplace_back(k_lifetime, Secret(std::to_string(k_imds_token_seconds)));
  return ask;
}

bool AwsMetadata::take_token(const HttpAnswer& answer) {
  if (answer.status != 200 || !is_token(answer.body.reveal())) return false;
  token_ = answer.body;
  token_until_ = surroundings_.now() + k_imds_token_seconds - 60;
  answered_ = true;
  return true;
}

bool AwsMetadata::fetch_token() {
  HttpAnswer answer;
  try {
    answer = ask_service(surroundings_, ask_for_token(), k_instance_metadata, answered_ ? 3 : 2);
  } catch (const Error& error) {
    if (answered_ || error.code != ExitCode::remote ||
        has_metadata_service(surroundings_, error, Cloud::aws,
                             "AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
      throw;
    }
    why_ = "no answer from " + printable(endpoint_);
    return false;
  }
  if (take_token(answer)) return true;
  if (answered_) throw refused_by_service(k_instance_metadata, answer.status, {});
  why_ =
      "no session token from " + printable(endpoint_) + ": HTTP " + std::to_string(answer.status);
  return false;
}

HttpAnswer AwsMetadata::ask_once(const std::string& path, std::chrono::milliseconds timeout) {
  for (bool renewed = false;; renewed = true) {
    if (!has_token()) {
      HttpAsk ask = ask_for_token();
      ask.timeout = timeout;
      const HttpAnswer answer = surroundings_.http->ask(ask);
      if (!take_token(answer)) {
        throw Error(ExitCode::remote, "http-status", printable(endpoint_),
                    "gave no session token: HTTP " + std::to_string(answer.status));
      }
    }
    HttpAsk ask = ask_for(path);
    ask.timeout = timeout;
    ask.headers.emplace_back(k_imds_token, token_);
    HttpAnswer answer = surroundings_.http->ask(ask);
    if (answer.status != 401 || renewed) return answer;
    token_ = Secret();
  }
}

std::optional<Secret> AwsMetadata::get(const std::string& path) {
  if (surroundings_.variable("AWS_EC2_METADATA_DISABLED").value_or("") == "true") {
    why_ = "AWS_EC2_METADATA_DISABLED";
    return std::nullopt;
  }
  if (!parse_service_url(endpoint_)) {
    throw invalid_credentials("AWS_EC2_METADATA_SERVICE_ENDPOINT", "expected an http or https URL");
  }
  for (int attempt = 0;; ++attempt) {
    if (!has_token() && !fetch_token()) return std::nullopt;
    HttpAsk ask = ask_for(path);
    ask.headers.emplace_back(k_imds_token, token_);
    HttpAnswer answer = ask_service(surroundings_, ask, k_instance_metadata);
    if (answer.status == 200) return answer.body;
    if (answer.status == 401 && attempt == 0) {
      token_ = Secret();
      continue;
    }
    if (answer.status != 404) throw refused_by_service(k_instance_metadata, answer.status, {});
    why_ = "no " + path;
    return std::nullopt;
  }
}

AwsProvider aws_instance_metadata(const Surroundings& surroundings) {
  auto metadata = std::make_shared<AwsMetadata>(surroundings);
  return {[metadata](Looked& looked) -> std::optional<AwsCredentials> {
    const auto roles = metadata->get(k_roles);
    if (!roles) {
      looked.push_back(std::string(k_instance_metadata) + ": " + metadata->why());
      return std::nullopt;
    }
    const auto role = role_in(roles->reveal());
    if (!role) throw invalid_credentials(k_instance_metadata, "expected the name of a role");
    const auto answer = metadata->get(k_roles + *role);
    if (!answer) throw invalid_credentials(k_instance_metadata, "expected credentials of the role");
    const Secret code = JsonFields(*answer, k_instance_metadata).find("Code");
    if (!code.empty() && code.reveal() != "Success") {
      throw refused_by_service(k_instance_metadata, 200, code.reveal());
    }
    return read_aws_json(*answer, k_instance_metadata, "Token", k_instance_metadata);
  }};
}

}  // namespace mad
