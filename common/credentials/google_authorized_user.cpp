#include "credentials/encoding.hpp"
#include "credentials/google_providers.hpp"

namespace mad {

GoogleCredentials google_authorized_user(const Surroundings& surroundings, const JsonFields& file) {
  const Secret given = file.find("token_uri");
  const std::string url =
      given.empty() ? "https://oauth2.googleapis.com/token" : std::string(given.reveal());
  require_private_url(url, file.subject() + ": token_uri");
  std::string form = "grant_type=refresh_token";
  for (const char* name : {"client_id", "client_secret", "refresh_token"}) {
    std::string encoded = percent_encode(file.require(name).reveal());
    form += std::string("&") + name + '=' + encoded;
    wipe(encoded);
  }
  const std::int64_t now = surroundings.now();
  const HttpAnswer answer = ask_service(surroundings, oauth_ask(url, Secret(std::move(form))), url);
  const OAuthToken token = read_oauth_answer(answer, url, now);
  return {token.token, token.expires_at, "authorized user of " + file.subject()};
}

}  // namespace mad
