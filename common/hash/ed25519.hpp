#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/fd.hpp"

namespace mad {

inline constexpr std::size_t k_ed25519_signature_bytes = 64;
/// A PEM file is refused beyond this; a key takes some 120 bytes.
inline constexpr std::size_t k_max_key_file_bytes = std::size_t{16} << 10U;

/// A raw Ed25519 key (RFC 8032, section 5.1.5).
using Ed25519Key = std::array<std::uint8_t, 32>;

/// Half of a key pair that anybody may know.
struct PublicKey {
  Ed25519Key bytes{};
  /// The file it came from.
  std::string subject;
};

/// The other half, which is wiped when it goes.
class SigningKey {
 public:
  explicit SigningKey(const Ed25519Key& seed) : seed_(seed) {}
  ~SigningKey();
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&&) = delete;

  /// The raw 64 bytes of a signature (pure Ed25519, RFC 8032, section 5.1.6).
  std::string sign(Bytes message) const;
  Ed25519Key public_key() const;

 private:
  Ed25519Key seed_;
};

/// Whether `signature` is `key`'s of exactly `message`; false also for any other length than 64.
bool verifies(const Ed25519Key& key, Bytes message, std::string_view signature);

/// One key in PEM as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write it.
/// Throws Error(signature, `key-invalid`) about `subject` for anything else: another algorithm,
/// an encrypted key, the other half, none, a second key.
SigningKey parse_signing_key(std::string_view pem, const std::string& subject);
PublicKey parse_public_key(std::string_view pem, const std::string& subject);

/// The key in a file or pipe; links are followed, as mounted secrets need it.  Warns where others
/// than its owner can read it.  Throws Error(io) too.
SigningKey read_signing_key(const std::string& path);
PublicKey read_public_key(const std::string& path);

}  // namespace mad
