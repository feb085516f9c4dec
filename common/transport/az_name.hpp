#pragma once

#include <string>

#include "transport/url.hpp"

namespace mad {

/// What a URL of Azure's blob service names; each part percent-encoded, as in a path.
struct AzName {
  /// Empty: the environment's.
  std::string account;
  std::string container;
  /// Empty: none.
  std::string blob;
  /// The part of Url::path before the blob's name, with its slash.
  std::string path_before_blob;
};

/// http(s) with a shared access signature (`sv=` and `sig=`) for a host of Azure's blob
/// service, or for an emulator, which has an address instead of a name.
bool is_az_web_url(const Url& url);
/// An emulator's: the account stands in the path.
bool is_az_emulator_url(const Url& url);

/// az://CONTAINER/BLOB, az://ACCOUNT/CONTAINER/BLOB, or an is_az_web_url.
///
/// The second where the environment says no account (`environment_account` is empty), or
/// says this one, and a `/` follows the CONTAINER.  Throws Error(usage) where the container
/// is none: 3 to 63 lower-case letters, digits and `-`, or a `$root`, `$web`, `$logs`.
AzName parse_az_name(const Url& url, const std::string& environment_account);

}  // namespace mad
