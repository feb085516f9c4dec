#pragma once

#include <string>

struct sockaddr;

namespace mad {

/// Whether an address is link-local (169.254/16, fe80::/10, also mapped into IPv6) or
/// one of the clouds' other metadata services: where a redirect must never lead,
/// because what answers there hands out credentials.
bool is_metadata_address(const sockaddr& address);

/// The same for a URL's host: a literal in any form that inet_aton(3) takes, or a
/// name known for it.  What a name resolves to is is_metadata_address's.
bool is_metadata_host(const std::string& host);

}  // namespace mad
