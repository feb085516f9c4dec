#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/timestamp.hpp"
#include "hash/ed25519.hpp"
#include "manifest/manifest.hpp"

namespace mad {

/// Whose signature a snapshot must bear, and how old it may be (mad-verify(1)).
struct Trust {
  /// Where the keys are, files or directories with `*.pem`, one of which must have signed the
  /// manifest; where there are none, a signature is not asked for.
  std::vector<std::string> key_paths;
  std::vector<PublicKey> keys;
  /// The manifest's created_at and step must be there and no less.  What an unsigned manifest
  /// says guards against a mistake, not against somebody who can write it.
  std::optional<Timestamp> not_before;
  std::optional<std::int64_t> min_step;

  /// Throws Error(signature, `key-invalid`), also for a directory without any; Error(io).
  void read_keys();
  bool wants_signature() const { return !key_paths.empty(); }
  bool wants_freshness() const { return not_before || min_step; }
};

/// RFC 3339, or seconds since the epoch.
std::optional<Timestamp> parse_moment(std::string_view text);

/// The key, of those that were read, that signed exactly these bytes.  `subject` is the signature's
/// path.
///
/// Throws Error(signature): `signature-missing`; `signature-invalid` (no 64 bytes);
/// `signature-untrusted` (by another key, or of other bytes, which cannot be told apart).
const PublicKey& check_signature(const Trust& trust, std::string_view manifest,
                                 const std::optional<std::string>& signature,
                                 const std::string& subject);
Error signature_missing(const std::string& subject);

/// Throws `snapshot-too-old`, of code signature where one is asked for, else refused.
/// `subject` is the manifest's path.
void check_freshness(const Trust& trust, const Manifest& manifest, const std::string& subject);

}  // namespace mad
