#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"

namespace mad {
namespace {

constexpr const char* k_relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
constexpr const char* k_full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
constexpr const char* k_token = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

/// In the clear only to this machine and to the addresses of ECS and EKS.
bool may_ask(const ServiceUrl& url) {
  return url.encrypted || is_loopback(url.host) || url.host == "169.254.170.2" ||
         url.host == "169.254.170.23" || url.host == "fd00:ec2::23";
}

std::optional<std::string> find_url(const Surroundings& surroundings) {
  if (const auto relative = surroundings.variable(k_relative)) {
    if ((*relative)[0] != '/' || !is_token(*relative)) {
      throw invalid_credentials(k_relative, "expected a path that begins with '/'");
    }
    return "http://169.254.170.2" + *relative;
  }
  auto full = surroundings.variable(k_full);
  if (!full) return std::nullopt;
  const auto parsed = parse_service_url(*full);
  if (!parsed || !may_ask(*parsed)) {
    throw invalid_credentials(k_full, "expected https, or http to loopback, 169.254.170.2 or .23");
  }
  return full;
}

Secret find_token(const Surroundings& surroundings) {
  if (const auto path = surroundings.variable(std::string(k_token) + "_FILE")) {
    // Read at each renewal: EKS replaces it.
    const auto text = read_credentials_file(*path, FilePlace::named, std::size_t{64} * 1024);
    if (!text) throw invalid_credentials(printable(*path), "expected a token, found no such file");
    return *text;
  }
  auto token = surroundings.variable(k_token);
  return token ? Secret(std::move(*token)) : Secret();
}

/// Of a token or `Scheme TOKEN`, without the line end that editors leave.
Secret as_header(const Secret& token) {
  std::string_view text = token.reveal();
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  for (const char c : text) {
    if (c < 0x20 || c == 0x7F) {
      throw invalid_credentials(k_token, "expected what a header can carry: one line");
    }
  }
  return Secret::copy_of(text);
}

}  // namespace

AwsProvider aws_container(const Surroundings& surroundings) {
  return {[surroundings](Looked& looked) -> std::optional<AwsCredentials> {
    const auto url = find_url(surroundings);
    if (!url) {
      looked.push_back(std::string("container: ") + k_relative + " is not set");
      return std::nullopt;
    }
    HttpAsk ask;
    ask.url = *url;
    ask.proxy = ProxyUse::never;
    ask.timeout = std::chrono::seconds(5);
    ask.headers.emplace_back("Accept", Secret("application/json"));
    if (const Secret token = as_header(find_token(surroundings)); !token.empty()) {
      ask.headers.emplace_back("Authorization", token);
    }
    const std::string subject = "container credentials";
    const HttpAnswer answer = ask_service(surroundings, ask, subject);
    if (answer.status != 200) throw refused_by_service(subject, answer.status, {});
    return read_aws_json(answer.body, subject, "Token", "the container's service");
  }};
}

}  // namespace mad
