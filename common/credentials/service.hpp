#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "credentials/http_port.hpp"
#include "credentials/surroundings.hpp"

namespace mad {

/// What all providers need to talk to a service and to read what it says.

/// An answer other than 408, 429 and 5xx.  Those, and no answer at all, are tried again
/// up to `attempts` times in all; then Error(remote), for a status with the reason
/// `http-status`.  `subject` names the service.
HttpAnswer ask_service(const Surroundings& surroundings, const HttpAsk& ask,
                       const std::string& subject, unsigned attempts = 3);

/// Whether a metadata service that `failure` is of is there all the same: it answered, `variable`
/// is set and names it, or the firmware says that this machine is in its cloud.  What is late or
/// busy is asked again; what is not there is passed over.
bool has_metadata_service(const Surroundings& surroundings, const Error& failure, Cloud cloud,
                          const char* variable = nullptr);

/// Error(access_denied, `credentials-refused`): the status, and the service's own word
/// for it where that is an identifier.  Its description may quote a token: not shown.
Error refused_by_service(const std::string& subject, int status, std::string_view word);

/// The host of an http or https URL, lower case, an IPv6 address without brackets.
/// Nothing where it is none, has userinfo, or bytes that no URL has.
struct ServiceUrl {
  bool encrypted = false;
  std::string host;
};
std::optional<ServiceUrl> parse_service_url(std::string_view url);
/// `localhost`, 127.0.0.0/8 or ::1.
bool is_loopback(const std::string& host);
/// Throws invalid_credentials unless a secret may be sent there: https, or loopback.
void require_private_url(const std::string& url, const std::string& subject);

/// Printable ASCII without blanks, not empty: what can stand in a header.
bool is_token(std::string_view text);
/// The text of a token file, without the line end that editors leave.  Throws
/// invalid_credentials where there is none, or it is_token() not.
Secret read_token_file(const std::string& path);

/// The string and integer members of a small JSON object, strictly read: UTF-8, no key
/// twice, nothing after it.  Members of other kinds are there for nobody.
class JsonFields {
 public:
  /// Throws invalid_credentials(`subject`).
  JsonFields(const Secret& text, std::string subject);

  /// Empty where it is not there.
  Secret find(const std::string& name) const;
  /// Throws invalid_credentials where it is missing or empty.
  Secret require(const std::string& name) const;
  /// The same, and is_token().
  Secret require_token(const std::string& name) const;
  std::string require_text(const std::string& name) const;
  /// An integer, or a string of digits.
  std::optional<std::int64_t> find_number(const std::string& name) const;
  const std::string& subject() const { return subject_; }

 private:
  std::string subject_;
  std::map<std::string, Secret> members_;
};

/// A token of OAuth 2.0 (RFC 6749, 5.1): `access_token` and when it ends, by
/// `expires_in` counted from `now`.
struct OAuthToken {
  Secret token;
  std::optional<std::int64_t> expires_at;
};
/// Of a 200; throws refused_by_service for anything else, with its `error` member.
OAuthToken read_oauth_answer(const HttpAnswer& answer, const std::string& subject,
                             std::int64_t now);

/// A POST of `form` to a token endpoint.
HttpAsk oauth_ask(const std::string& url, Secret form);

}  // namespace mad
