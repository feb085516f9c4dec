#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "credentials/aws_providers.hpp"
#include "credentials/encoding.hpp"
#include "credentials/service.hpp"
#include "credentials/time.hpp"
#include "credentials/xml.hpp"

namespace mad {
namespace {

constexpr const char* k_web_identity = "web identity";

struct WebIdentity {
  std::string token_file;
  std::string role_arn;
  std::string session_name;
  std::string url;
};

std::string sts_url(const Surroundings& surroundings, const AwsOptions& options,
                    const AwsProfile& profile) {
  if (surroundings.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") != "true") {
    for (const char* name : {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"}) {
      if (auto url = surroundings.variable(name)) {
        if (!parse_service_url(*url))
          throw invalid_credentials(name, "expected an http or https URL");
        return *url;
      }
    }
  }
  const auto region = find_aws_region(surroundings, options, profile);
  return region ? "https://sts." + *region + '.' + aws_domain(*region)
                : "https://sts.amazonaws.com";
}

std::optional<WebIdentity> find_identity(const Surroundings& surroundings,
                                         const AwsOptions& options) {
  const AwsProfile profile = read_aws_profile(surroundings, options);
  // A profile given by option puts the environment aside.
  const auto setting = [&](const char* variable, const char* key) {
    const auto value =
        options.profile.empty() ? surroundings.variable(variable) : std::optional<std::string>();
    return value ? value : profile.text(key);
  };
  const auto file = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
  if (!file) return std::nullopt;
  const auto role = setting("AWS_ROLE_ARN", "role_arn");
  if (!role) {
    throw invalid_credentials(k_web_identity,
                              "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN");
  }
  return WebIdentity{surroundings.expand_home(*file), *role,
                     setting("AWS_ROLE_SESSION_NAME", "role_session_name")
                         .value_or("mad-tools-" + std::to_string(surroundings.now())),
                     sts_url(surroundings, options, profile)};
}

HttpAsk ask_sts(const WebIdentity& identity) {
  const Secret token = read_token_file(identity.token_file);
  std::string form = format_form({{"Action", "AssumeRoleWithWebIdentity"},
                                  {"Version", "2011-06-15"},
                                  {"RoleArn", identity.role_arn},
                                  {"RoleSessionName", identity.session_name}});
  std::string encoded = percent_encode(token.reveal());
  form += "&WebIdentityToken=" + encoded;
  wipe(encoded);
  HttpAsk ask;
  ask.method = "POST";
  ask.url = identity.url + (identity.url.back() == '/' ? "" : "/");
  ask.headers.emplace_back("Content-Type", Secret("application/x-www-form-urlencoded"));
  ask.body = Secret(std::move(form));
  return ask;
}

/// The service's word for its refusal, where it says one in the form of STS.
std::string error_code(const HttpAnswer& answer) {
  try {
    const XmlElement root = parse_xml(answer.body.reveal(), k_web_identity);
    const XmlElement* const error = root.find("Error");
    return error == nullptr ? std::string() : std::string(error->text_of("Code"));
  } catch (const Error&) {
    return {};
  }
}

/// Refusals of STS that say nothing against the same request a moment later.
bool is_transient_code(std::string_view code) {
  constexpr std::array<std::string_view, 3> k_codes = {"Throttling", "ThrottlingException",
                                                       "IDPCommunicationError"};
  return std::find(k_codes.begin(), k_codes.end(), code) != k_codes.end();
}

Secret take_text(XmlElement& parent, const char* name) {
  XmlElement* const element = parent.find(name);
  Secret text = element == nullptr ? Secret() : Secret(std::move(element->text));
  if (!is_token(text.reveal())) {
    throw invalid_credentials(k_web_identity,
                              std::string("expected '") + name + "' in STS's answer");
  }
  return text;
}

AwsCredentials read_answer(const HttpAnswer& answer) {
  XmlElement root = parse_xml(answer.body.reveal(), k_web_identity);
  XmlElement* const result = root.find("AssumeRoleWithWebIdentityResult");
  XmlElement* const found = result == nullptr ? nullptr : result->find("Credentials");
  if (root.name != "AssumeRoleWithWebIdentityResponse" || found == nullptr) {
    throw invalid_credentials(k_web_identity, "expected an AssumeRoleWithWebIdentityResponse");
  }
  AwsCredentials credentials;
  credentials.provider = k_web_identity;
  credentials.access_key_id = take_text(*found, "AccessKeyId").reveal();
  credentials.secret_access_key = take_text(*found, "SecretAccessKey");
  credentials.session_token = take_text(*found, "SessionToken");
  credentials.expires_at = parse_timestamp(take_text(*found, "Expiration").reveal());
  if (!credentials.expires_at) {
    throw invalid_credentials(k_web_identity, "expected 'Expiration' to be an RFC 3339 time");
  }
  return credentials;
}

}  // namespace

AwsProvider aws_web_identity(const Surroundings& surroundings, const AwsOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AwsCredentials> {
    const auto identity = find_identity(surroundings, options);
    if (!identity) {
      looked.emplace_back("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set");
      return std::nullopt;
    }
    const HttpAnswer answer = ask_service(surroundings, ask_sts(*identity), k_web_identity);
    if (answer.status != 200) {
      const std::string code = error_code(answer);
      if (is_transient_code(code)) {
        throw Error(ExitCode::remote, "http-status", k_web_identity,
                    "answered HTTP " + std::to_string(answer.status) + " (" + code + ")");
      }
      throw refused_by_service(k_web_identity, answer.status, code);
    }
    return read_answer(answer);
  }};
}

}  // namespace mad
