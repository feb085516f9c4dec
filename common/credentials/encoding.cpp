#include "credentials/encoding.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "credentials/secret.hpp"
#include "hash/openssl_handles.hpp"

namespace mad {
namespace {

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

std::string encode_but(std::string_view text, char kept) {
  constexpr std::string_view k_digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(c) || (kept != '\0' && c == kept)) {
      out += c;
    } else {
      out += {'%', k_digits[byte >> 4U], k_digits[byte & 15U]};
    }
  }
  return out;
}

const unsigned char* as_octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  // EVP_EncodeBlock ends with a NUL, for which std::string has room.
  std::string out((bytes.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), as_octets(bytes),
                  static_cast<int>(bytes.size()));
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.size() - std::min(text.find_last_not_of('=') + 1, text.size());
  const std::string_view digits = text.substr(0, text.size() - padding);
  // EVP_DecodeBlock passes over blanks and takes '=' anywhere.
  if (padding > 2 || !std::all_of(digits.begin(), digits.end(), [](char c) {
        return (is_unreserved(c) && c != '-' && c != '_' && c != '.' && c != '~') || c == '+' ||
               c == '/';
      })) {
    return std::nullopt;
  }
  std::string out(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), as_octets(text),
                      static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  out.resize(out.size() - padding);
  // One form only: what the last digit says beyond the last byte must be nothing.
  if (base64_encode(out) != text) return std::nullopt;
  return out;
}

std::string base64url_encode(std::string_view bytes) {
  std::string out = base64_encode(bytes);
  out.erase(std::min(out.find('='), out.size()));
  std::replace(out.begin(), out.end(), '+', '-');
  std::replace(out.begin(), out.end(), '/', '_');
  return out;
}

Digest hmac_sha256(std::string_view key, std::string_view message) {
  Digest digest{};
  unsigned length = 0;
  // A null key means "the last one" to OpenSSL, an empty key does not.
  const char* const bytes = key.empty() ? "" : key.data();
  if (HMAC(EVP_sha256(), bytes, static_cast<int>(key.size()), as_octets(message), message.size(),
           digest.data(), &length) == nullptr) {
    throw std::runtime_error("HMAC failed");
  }
  return digest;
}

std::string percent_encode(std::string_view text) {
  return encode_but(text, '\0');
}

std::string percent_encode_path(std::string_view path) {
  return encode_but(path, '/');
}

std::string format_form(const Parameters& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty()) out += '&';
    out += percent_encode(name) + '=' + percent_encode(value);
  }
  return out;
}

std::optional<std::string> sign_rs256(std::string_view pem_key, std::string_view message) {
  const BioHandle bio(BIO_new_mem_buf(pem_key.data(), static_cast<int>(pem_key.size())));
  // Without a callback OpenSSL would ask the terminal for an encrypted key's passphrase.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const KeyHandle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) return std::nullopt;
  const DigestContextHandle context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, as_octets(message), message.size()) != 1) {
    return std::nullopt;
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     as_octets(message), message.size()) != 1) {
    return std::nullopt;
  }
  signature.resize(size);
  return signature;
}

}  // namespace mad
