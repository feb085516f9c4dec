#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "credentials/encoding.hpp"
#include "credentials/secret.hpp"

namespace mad {

/// Shared Key authorization of Azure Storage's blob service (https://learn.microsoft.com/
/// rest/api/storageservices/authorize-with-shared-key), for versions from 2015-02-21 on.

struct AzureSharedKey {
  std::string account;
  /// Decoded, not as base64.
  Secret key;
};

struct AzureRequest {
  std::string method;
  /// As in the URL, percent-encoded; an emulator's includes the account.
  std::string path;
  /// Not encoded; in any order.
  Parameters query;
  /// All that are sent, names in any case: Content-Length, Range, the conditionals and
  /// x-ms-… are signed, the rest is passed over.
  std::vector<std::pair<std::string, std::string>> headers;
};

/// The text that is signed; `request.headers` has x-ms-date already.
std::string azure_string_to_sign(const std::string& account, const AzureRequest& request);

/// The headers to send besides: x-ms-date (of `time`, seconds since the epoch, by the
/// server's clock: 15 minutes of difference are refused) and Authorization.
std::vector<std::pair<std::string, std::string>> sign_azure(const AzureRequest& request,
                                                            const AzureSharedKey& key,
                                                            std::int64_t time);

}  // namespace mad
