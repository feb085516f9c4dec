#include "credentials/source.hpp"

namespace mad {

Error no_credentials(const std::string& subject, const Looked& looked, const std::string& hint) {
  std::string text = "no credentials found; looked at";
  for (const std::string& place : looked) text += "\n" + place;
  return {ExitCode::access_denied, "no-credentials", subject, text, hint};
}

Error expired_credentials(const std::string& subject, const std::string& provider) {
  return {ExitCode::access_denied, "credentials-expired", subject,
          "the credentials were refused as expired, and " + provider + " has no newer ones"};
}

}  // namespace mad
