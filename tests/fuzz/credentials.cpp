#include "credentials/aws_profile.hpp"
#include "credentials/aws_providers.hpp"
#include "credentials/azure_providers.hpp"
#include "credentials/encoding.hpp"
#include "credentials/service.hpp"
#include "fuzz/fuzz.hpp"

// Files, variables and services that hand out credentials: no message quotes them.

namespace {

using mad::fuzz::require;

/// Runs `read`; what it throws does not hold the input's longest run of letters and digits.
void read_secretly(std::string_view text, const std::function<void()>& read) {
  std::string_view longest;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && std::isalnum(static_cast<unsigned char>(text[end])) != 0) ++end;
    if (end - at > longest.size()) longest = text.substr(at, end - at);
    at = end + 1;
  }
  mad::fuzz::refuses([&] {
    try {
      read();
    } catch (const mad::Error& error) {
      const std::string said = error.one_line() + error.hint;
      require(longest.size() < 24 || said.find(longest) == std::string::npos,
              "no message quotes a secret");
      throw;
    }
  });
}

mad::Surroundings with_variable(const std::string& name, const std::string& value) {
  mad::Surroundings surroundings;
  surroundings.environment = [=](const std::string& asked) -> std::optional<std::string> {
    return asked == name ? std::optional(value) : std::nullopt;
  };
  return surroundings;
}

void read_azure(std::string_view text) {
  const auto connection = mad::read_azure_connection(
      with_variable("AZURE_STORAGE_CONNECTION_STRING", std::string(text)));
  if (!connection) return;
  if (!connection->key.empty()) mad::make_shared_key(connection->account, connection->key, "key");
  if (!connection->sas.empty()) mad::make_sas(connection->sas, "sas");
}

void read_json(std::string_view text) {
  const mad::JsonFields fields(mad::Secret::copy_of(text), "file.json");
  static_cast<void>(fields.find_number("expires_in"));
  static_cast<void>(fields.require_text("type"));
  static_cast<void>(mad::sign_rs256(fields.require("private_key").reveal(), "message"));
}

void read_answer(std::string_view text) {
  mad::HttpAnswer answer;
  answer.status = 200;
  answer.body = mad::Secret::copy_of(text);
  const mad::OAuthToken token = mad::read_oauth_answer(answer, "service", 1'700'000'000);
  require(mad::is_token(token.token.reveal()), "a token fits into a header");
}

}  // namespace

MAD_FUZZ_TARGET(credentials) {
  const std::size_t kind = mad::fuzz::take_choice(input, 6);
  read_secretly(input, [&] {
    if (kind == 0) {
      const auto section = mad::parse_aws_section(input, "default", "credentials");
      if (section) static_cast<void>(mad::read_aws_keys(*section, "credentials", "default"));
    }
    if (kind == 1) static_cast<void>(mad::parse_aws_section(input, "profile a b", "config"));
    if (kind == 2) read_azure(input);
    if (kind == 3) read_json(input);
    if (kind == 4) read_answer(input);
    if (kind == 5) {
      static_cast<void>(
          mad::read_aws_json(mad::Secret::copy_of(input), "service", "Token", "service"));
    }
  });
  if (const auto url = mad::parse_service_url(input)) {
    require(!url->host.empty() && url->host.find_first_of("@/\\ ") == std::string::npos,
            "a service's host is one");
  }
}
