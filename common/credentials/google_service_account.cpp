#include <ctime>

#include "base/text.hpp"
#include "credentials/encoding.hpp"
#include "credentials/google_providers.hpp"

namespace mad {
namespace {

/// An object's metadata are not changed (objects.patch) with less.
constexpr const char* k_scope = "https://www.googleapis.com/auth/devstorage.full_control";
constexpr const char* k_token_url = "https://oauth2.googleapis.com/token";
constexpr std::int64_t k_assertion_seconds = 3600;
/// Google forgives a few minutes.
constexpr std::int64_t k_tolerable_skew_seconds = 60;

struct Account {
  std::string email;
  std::string key_id;
  std::string token_url;
  Secret private_key;
};

Account read_account(const JsonFields& file) {
  Account account;
  account.email = file.require_text("client_email");
  account.private_key = file.require("private_key");
  const Secret key_id = file.find("private_key_id");
  account.key_id = key_id.reveal();
  const Secret url = file.find("token_uri");
  account.token_url = url.empty() ? k_token_url : std::string(url.reveal());
  require_private_url(account.token_url, file.subject() + ": token_uri");
  return account;
}

/// RFC 7519, as developers.google.com/identity/protocols/oauth2/service-account has it.
Secret make_assertion(const Account& account, const std::string& subject, std::int64_t now) {
  std::string header = R"({"alg":"RS256","typ":"JWT")";
  if (!account.key_id.empty()) header += ",\"kid\":" + json_quote(account.key_id);
  header += '}';
  const std::string claims =
      "{\"iss\":" + json_quote(account.email) + ",\"scope\":" + json_quote(k_scope) +
      ",\"aud\":" + json_quote(account.token_url) + ",\"iat\":" + std::to_string(now) +
      ",\"exp\":" + std::to_string(now + k_assertion_seconds) + '}';
  std::string assertion = base64url_encode(header) + '.' + base64url_encode(claims);
  const auto signature = sign_rs256(account.private_key.reveal(), assertion);
  if (!signature) {
    throw invalid_credentials(subject, "expected 'private_key' to be an RSA key in PEM");
  }
  assertion += '.' + base64url_encode(*signature);
  return Secret(std::move(assertion));
}

HttpAnswer ask_for_token(const Surroundings& surroundings, const Account& account,
                         const std::string& subject, std::int64_t now) {
  std::string form = format_form({{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"}});
  form += "&assertion=";
  form += make_assertion(account, subject, now).reveal();
  return ask_service(surroundings, oauth_ask(account.token_url, Secret(std::move(form))),
                     account.token_url);
}

/// How far the server's clock is ahead, where its answer says the time (RFC 9110, 6.6.1).
std::int64_t seconds_ahead(const HttpAnswer& answer, std::int64_t now) {
  const std::string date(answer.find("date").value_or(""));
  std::tm parts{};
  const char* const end = strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return end == nullptr || *end != '\0' ? 0 : static_cast<std::int64_t>(timegm(&parts)) - now;
}

}  // namespace

GoogleCredentials google_service_account(const Surroundings& surroundings, const JsonFields& file) {
  const Account account = read_account(file);
  const std::int64_t now = surroundings.now();
  HttpAnswer answer = ask_for_token(surroundings, account, file.subject(), now);
  const std::int64_t ahead = seconds_ahead(answer, now);
  if (answer.status == 400 &&
      (ahead > k_tolerable_skew_seconds || ahead < -k_tolerable_skew_seconds)) {
    answer = ask_for_token(surroundings, account, file.subject(), now + ahead);
  }
  const OAuthToken token = read_oauth_answer(answer, account.token_url, now);
  return {token.token, token.expires_at, "service account of " + file.subject()};
}

}  // namespace mad
