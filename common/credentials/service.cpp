#include "credentials/service.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"

namespace mad {
namespace {

bool is_transient(int status) {
  return status == 408 || status == 429 || status >= 500;
}

}  // namespace

HttpAnswer ask_service(const Surroundings& surroundings, const HttpAsk& ask,
                       const std::string& subject, unsigned attempts) {
  for (unsigned attempt = 1;; ++attempt) {
    try {
      HttpAnswer answer = surroundings.http->ask(ask);
      if (!is_transient(answer.status)) return answer;
      if (attempt >= attempts) {
        throw Error(ExitCode::remote, "http-status", subject,
                    "answered HTTP " + std::to_string(answer.status));
      }
    } catch (const Error& error) {
      if (error.code != ExitCode::remote || attempt >= attempts) throw;
    }
    surroundings.wait(std::chrono::milliseconds(250U << std::min(attempt, 4U)));
  }
}

bool has_metadata_service(const Surroundings& surroundings, const Error& failure, Cloud cloud,
                          const char* variable) {
  return failure.reason == "http-status" ||
         (variable != nullptr && surroundings.variable(variable)) ||
         surroundings.firmware() == cloud;
}

Error refused_by_service(const std::string& subject, int status, std::string_view word) {
  std::string text = "answered HTTP " + std::to_string(status);
  const bool identifier =
      !word.empty() && word.size() <= 64 && std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
      });
  if (identifier) text += " (" + std::string(word) + ")";
  return {ExitCode::access_denied, "credentials-refused", subject, text};
}

std::optional<ServiceUrl> parse_service_url(std::string_view url) {
  ServiceUrl parsed;
  const auto colon = url.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string scheme = lower_ascii(url.substr(0, colon));
  parsed.encrypted = scheme == "https";
  if (!parsed.encrypted && scheme != "http") return std::nullopt;
  if (!is_token(url) || url.find_first_of("\\\"<>") != std::string_view::npos) return std::nullopt;
  std::string_view authority = url.substr(colon + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return std::nullopt;
  std::string_view port;
  if (authority.substr(0, 1) == "[") {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    parsed.host = lower_ascii(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
  } else {
    const auto end = std::min(authority.find(':'), authority.size());
    parsed.host = lower_ascii(authority.substr(0, end));
    port = authority.substr(end);
  }
  if (parsed.host.empty()) return std::nullopt;
  if (!port.empty()) {
    const auto number = parse_decimal(port.substr(1));
    if (port[0] != ':' || !number || *number == 0 || *number > 65535) return std::nullopt;
  }
  return parsed;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24U == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

void require_private_url(const std::string& url, const std::string& subject) {
  const auto parsed = parse_service_url(url);
  if (!parsed) throw invalid_credentials(subject, "expected an http or https URL without userinfo");
  if (!parsed->encrypted && !is_loopback(parsed->host)) {
    throw invalid_credentials(subject, "expected https: a secret would travel in the clear");
  }
}

bool is_token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

Secret read_token_file(const std::string& path) {
  const auto text = read_credentials_file(path, FilePlace::named, std::size_t{64} * 1024);
  if (!text) throw invalid_credentials(printable(path), "expected a token, found no such file");
  std::string_view token = text->reveal();
  const auto end = token.find_last_not_of("\r\n");
  token = token.substr(0, end == std::string_view::npos ? 0 : end + 1);
  if (!is_token(token)) {
    throw invalid_credentials(printable(path), "expected a token: one line of printable ASCII");
  }
  return Secret::copy_of(token);
}

OAuthToken read_oauth_answer(const HttpAnswer& answer, const std::string& subject,
                             std::int64_t now) {
  if (answer.status != 200) {
    std::string word;
    try {
      word = JsonFields(answer.body, subject).find("error").reveal();
    } catch (const Error&) {
      word.clear();  // a refusal in another form is a refusal all the same
    }
    throw refused_by_service(subject, answer.status, word);
  }
  const JsonFields fields(answer.body, subject);
  OAuthToken token;
  token.token = fields.require_token("access_token");
  if (const auto seconds = fields.find_number("expires_in")) {
    // A day is longer than any of these services promise.
    token.expires_at = now + std::clamp<std::int64_t>(*seconds, 0, 86'400);
  }
  return token;
}

HttpAsk oauth_ask(const std::string& url, Secret form) {
  HttpAsk ask;
  ask.method = "POST";
  ask.url = url;
  ask.headers.emplace_back("Content-Type", Secret("application/x-www-form-urlencoded"));
  ask.headers.emplace_back("Accept", Secret("application/json"));
  ask.body = std::move(form);
  return ask;
}

}  // namespace mad
