#include "hash/ed25519.hpp"

#include <optional>

#include "fuzz/fuzz.hpp"

// A key in PEM, and a signature: PEM, then the signature, then what it is of.

MAD_FUZZ_TARGET(signature) {
  using mad::fuzz::require;
  const std::string_view pem = mad::fuzz::take_field(input);
  const std::string_view signature = mad::fuzz::take_field(input);
  const mad::Bytes message = mad::as_bytes(input);
  std::optional<mad::SigningKey> signing;
  std::optional<mad::PublicKey> half;
  mad::fuzz::refuses([&] { signing.emplace(mad::parse_signing_key(pem, "key.pem")); });
  mad::fuzz::refuses([&] { half = mad::parse_public_key(pem, "key.pem"); });
  require(!signing || !half, "a file is one half of a pair or the other");
  if (signing) {
    const std::string own = signing->sign(message);
    require(own.size() == mad::k_ed25519_signature_bytes, "a signature has its length");
    require(mad::verifies(signing->public_key(), message, own), "what a key signs, it verifies");
    require(signature == own || !mad::verifies(signing->public_key(), message, signature),
            "nothing else verifies");
  }
  if (half) {
    require(!mad::verifies(half->bytes, message, signature) ||
                signature.size() == mad::k_ed25519_signature_bytes,
            "only 64 bytes are a signature");
  }
}
