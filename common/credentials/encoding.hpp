#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hash/sha256.hpp"

namespace mad {

/// RFC 4648, section 4, padded, without line breaks.
std::string base64_encode(std::string_view bytes);
/// Strict: the alphabet of section 4, padded, nothing else; otherwise nothing.
std::optional<std::string> base64_decode(std::string_view text);
/// RFC 4648, section 5, without padding (RFC 7515).
std::string base64url_encode(std::string_view bytes);

/// HMAC-SHA-256 (RFC 2104).
Digest hmac_sha256(std::string_view key, std::string_view message);
inline std::string_view as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Everything but `A-Za-z0-9-_.~` as `%XX`, upper case (RFC 3986's unreserved).
std::string percent_encode(std::string_view text);
/// The same, `/` kept: for the path of an object's key.
std::string percent_encode_path(std::string_view path);

/// Names and values, not encoded.
using Parameters = std::vector<std::pair<std::string, std::string>>;
/// `a=1&b=2`, both sides percent-encoded, in the order given.
std::string format_form(const Parameters& parameters);

/// RSASSA-PKCS1-v1_5 with SHA-256 (RS256 of RFC 7518) under a private key in PEM;
/// nothing where that is no unencrypted RSA key.
std::optional<std::string> sign_rs256(std::string_view pem_key, std::string_view message);

}  // namespace mad
