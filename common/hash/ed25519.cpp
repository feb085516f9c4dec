#include "hash/ed25519.hpp"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <stdexcept>

#include "base/error.hpp"
#include "base/log.hpp"
#include "hash/openssl_handles.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

const unsigned char* data_of(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

DigestContextHandle new_context() {
  DigestContextHandle context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  return context;
}

Error key_invalid(const std::string& subject, const std::string& expected, const std::string& found,
                  const std::string& hint = {}) {
  return {ExitCode::signature, "key-invalid", printable(subject),
          "expected " + expected + ", found " + found, hint};
}

/// Nobody is asked for a passphrase, least of all on a terminal; that one was wanted is noted.
int refuse_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* wanted) noexcept {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr std::string_view k_begin = "-----BEGIN ";

/// Whether a file holds a private key, by the label of its PEM (RFC 7468).
bool is_private(std::string_view pem) {
  return contains(pem, "PRIVATE KEY-----");
}

void require_one(std::string_view pem, const std::string& subject, const std::string& expected) {
  const auto first = pem.find(k_begin);
  if (first == std::string_view::npos) throw key_invalid(subject, expected, "no PEM");
  if (contains(pem.substr(first + 1), k_begin)) {
    throw key_invalid(subject, expected, "more than one", "one file a key");
  }
}

using RawKey = int (*)(const EVP_PKEY*, unsigned char*, std::size_t*);

Ed25519Key raw_key(const KeyHandle& key, RawKey get, const std::string& subject,
                   const std::string& expected) {
  if (EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    const char* name = EVP_PKEY_get0_type_name(key.get());
    throw key_invalid(subject, expected,
                      "one for " + printable(name == nullptr ? "something else" : name));
  }
  Ed25519Key raw{};
  std::size_t size = raw.size();
  if (get(key.get(), raw.data(), &size) != 1 || size != raw.size()) {
    throw key_invalid(subject, expected, "one without its bytes");
  }
  return raw;
}

BioHandle open_text(std::string_view pem) {
  ERR_clear_error();
  BioHandle bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) throw std::bad_alloc();
  return bio;
}

void require_small(std::string_view pem, const std::string& subject) {
  if (pem.size() <= k_max_key_file_bytes) return;
  throw key_invalid(subject, "at most " + std::to_string(k_max_key_file_bytes) + " bytes",
                    std::to_string(pem.size()));
}

/// A file's text, wiped when it goes.
struct KeyText {
  std::string text;
  mode_t mode = 0;

  explicit KeyText(const std::string& path) {
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) throw output_error("open the key", printable(path), errno);
    const struct ::stat status = stat_fd(file.get(), path);
    mode = S_ISREG(status.st_mode) ? status.st_mode : 0;
    try {
      text = read_small_file(file.get(), k_max_key_file_bytes, path);
    } catch (const Error& error) {
      if (error.reason != "too-large") throw;
      throw Error(ExitCode::signature, "key-invalid", error.subject, error.message);
    }
  }
  ~KeyText() { OPENSSL_cleanse(text.data(), text.size()); }
  KeyText(const KeyText&) = delete;
  KeyText& operator=(const KeyText&) = delete;
};

}  // namespace

SigningKey::~SigningKey() {
  OPENSSL_cleanse(seed_.data(), seed_.size());
}

SigningKey::SigningKey(SigningKey&& other) noexcept : seed_(other.seed_) {
  OPENSSL_cleanse(other.seed_.data(), other.seed_.size());
}

std::string SigningKey::sign(Bytes message) const {
  const KeyHandle key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed_.data(), seed_.size()));
  const DigestContextHandle context = new_context();
  std::string signature(k_ed25519_signature_bytes, '\0');
  std::size_t size = signature.size();
  if (!key || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     data_of(message), message.size()) != 1 ||
      size != signature.size()) {
    throw std::runtime_error("OpenSSL gives no Ed25519 signature");
  }
  return signature;
}

Ed25519Key SigningKey::public_key() const {
  const KeyHandle key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed_.data(), seed_.size()));
  if (!key) throw std::runtime_error("OpenSSL knows no Ed25519");
  return raw_key(key, EVP_PKEY_get_raw_public_key, "the key", "an Ed25519 key");
}

bool verifies(const Ed25519Key& key_bytes, Bytes message, std::string_view signature) {
  if (signature.size() != k_ed25519_signature_bytes) return false;
  const KeyHandle key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key_bytes.data(), key_bytes.size()));
  const DigestContextHandle context = new_context();
  if (!key || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) {
    throw std::runtime_error("OpenSSL checks no Ed25519 signature");
  }
  const bool good = EVP_DigestVerify(context.get(), data_of(as_bytes(signature)), signature.size(),
                                     data_of(message), message.size()) == 1;
  ERR_clear_error();
  return good;
}

SigningKey parse_signing_key(std::string_view pem, const std::string& subject) {
  const std::string expected = "an Ed25519 private key in PEM";
  const std::string hint = "openssl genpkey -algorithm ed25519 -out key.pem";
  require_small(pem, subject);
  require_one(pem, subject, expected);
  if (!is_private(pem)) throw key_invalid(subject, expected, "a public one, or none", hint);
  bool wants_passphrase = false;
  const BioHandle bio = open_text(pem);
  const KeyHandle key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &wants_passphrase));
  ERR_clear_error();
  if (wants_passphrase) {
    throw key_invalid(subject, expected, "an encrypted one",
                      "decrypt it to a file that only its owner can read: openssl pkey");
  }
  if (!key) throw key_invalid(subject, expected, "one that cannot be read", hint);
  Ed25519Key seed = raw_key(key, EVP_PKEY_get_raw_private_key, subject, expected);
  SigningKey signing(seed);
  OPENSSL_cleanse(seed.data(), seed.size());
  return signing;
}

PublicKey parse_public_key(std::string_view pem, const std::string& subject) {
  const std::string expected = "an Ed25519 public key in PEM";
  const std::string hint = "openssl pkey -in key.pem -pubout -out public.pem";
  require_small(pem, subject);
  require_one(pem, subject, expected);
  if (is_private(pem)) throw key_invalid(subject, expected, "a private one", hint);
  bool wants_passphrase = false;
  const BioHandle bio = open_text(pem);
  const KeyHandle key(
      PEM_read_bio_PUBKEY(bio.get(), nullptr, refuse_passphrase, &wants_passphrase));
  ERR_clear_error();
  if (!key) throw key_invalid(subject, expected, "one that cannot be read", hint);
  return {raw_key(key, EVP_PKEY_get_raw_public_key, subject, expected), printable(subject)};
}

SigningKey read_signing_key(const std::string& path) {
  const KeyText file(path);
  SigningKey key = parse_signing_key(file.text, path);
  if ((file.mode & (S_IRWXG | S_IRWXO)) != 0) {
    log_warning(printable(path) + ": others than its owner can get at this private key; chmod 600");
  }
  return key;
}

PublicKey read_public_key(const std::string& path) {
  return parse_public_key(KeyText(path).text, path);
}

}  // namespace mad
