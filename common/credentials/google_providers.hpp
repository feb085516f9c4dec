#pragma once

#include <string>

#include "credentials/google.hpp"
#include "credentials/service.hpp"

namespace mad {

/// The kinds of credentials that open_google_credentials knows; one file each.
using GoogleProvider = Provider<GoogleCredentials>;

GoogleProvider google_file(const Surroundings& surroundings);
GoogleProvider google_metadata(const Surroundings& surroundings);

/// Of a file with `"type": "service_account"`: an RS256 JWT for a token (RFC 7523).  Once
/// more by the server's clock where it refuses one and its Date is far from ours.
GoogleCredentials google_service_account(const Surroundings& surroundings, const JsonFields& file);
/// Of one with `"type": "authorized_user"`: the refresh token for an access token.
GoogleCredentials google_authorized_user(const Surroundings& surroundings, const JsonFields& file);

}  // namespace mad
