#include "verify/trust.hpp"

#include <sys/stat.h>

#include "base/text.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

constexpr std::string_view k_key_suffix = ".pem";

Error key_invalid(const std::string& path, const std::string& message) {
  return {ExitCode::signature, "key-invalid", printable(path), message};
}

void read_directory(const std::string& path, std::vector<PublicKey>& keys) {
  const std::size_t before = keys.size();
  const std::string prefix = path.back() == '/' ? path : path + '/';
  for (const std::string& name : list_directory(open_directory(path).get(), path)) {
    if (name.size() <= k_key_suffix.size() || name[0] == '.' ||
        name.substr(name.size() - k_key_suffix.size()) != k_key_suffix) {
      continue;
    }
    const std::string file = prefix + name;
    struct ::stat status {};
    if (stat(file.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      throw key_invalid(file, "expected a regular file with a public key");
    }
    keys.push_back(read_public_key(file));
  }
  if (keys.size() == before) {
    throw key_invalid(path, "expected public keys NAME.pem in this directory, found none");
  }
}

std::string names_of(const std::vector<PublicKey>& keys) {
  constexpr std::size_t k_named = 4;
  std::string names;
  for (std::size_t i = 0; i < keys.size() && i < k_named; ++i) {
    names += (i == 0 ? "" : ", ") + keys[i].subject;
  }
  if (keys.size() > k_named) names += " and " + std::to_string(keys.size() - k_named) + " more";
  return names;
}

}  // namespace

void Trust::read_keys() {
  keys.clear();
  for (const std::string& path : key_paths) {
    if (is_directory(path)) {
      read_directory(path, keys);
    } else {
      keys.push_back(read_public_key(path));
    }
  }
}

std::optional<Timestamp> parse_moment(std::string_view text) {
  if (const auto seconds = parse_decimal(text)) {
    if (*seconds > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
    return Timestamp{static_cast<std::int64_t>(*seconds), 0};
  }
  return parse_rfc3339(text);
}

Error signature_missing(const std::string& subject) {
  return {ExitCode::signature, "signature-missing", subject,
          "expected a signature of the manifest by a trusted key, found none",
          "'mad-manifest sign' or 'mad-snapshot --sign-key' makes one"};
}

const PublicKey& check_signature(const Trust& trust, std::string_view manifest,
                                 const std::optional<std::string>& signature,
                                 const std::string& subject) {
  if (!signature || signature->empty()) throw signature_missing(subject);
  if (signature->size() != k_ed25519_signature_bytes) {
    throw Error(ExitCode::signature, "signature-invalid", subject,
                "expected the " + std::to_string(k_ed25519_signature_bytes) +
                    " bytes of an Ed25519 signature, found " + std::to_string(signature->size()));
  }
  for (const PublicKey& key : trust.keys) {
    if (verifies(key.bytes, as_bytes(manifest), *signature)) return key;
  }
  throw Error(ExitCode::signature, "signature-untrusted", subject,
              "expected a signature of this manifest by a trusted key (" + names_of(trust.keys) +
                  "), found one by another key or of other bytes");
}

void check_freshness(const Trust& trust, const Manifest& manifest, const std::string& subject) {
  const ExitCode code = trust.wants_signature() ? ExitCode::signature : ExitCode::refused;
  const auto refuse = [&](const std::string& message) {
    return Error(code, "snapshot-too-old", subject, message,
                 "it may be a replay of an older snapshot");
  };
  if (trust.not_before) {
    const auto created_at =
        manifest.created_at ? parse_rfc3339(*manifest.created_at) : std::nullopt;
    const std::string found = manifest.created_at ? printable(*manifest.created_at, 80) : "none";
    if (!created_at) throw refuse("created_at: --not-before expects a time, found " + found);
    if (*created_at < *trust.not_before) {
      throw refuse("created_at: expected no earlier than --not-before, found " + found);
    }
  }
  if (!trust.min_step) return;
  const std::string expected = "step: expected at least " + std::to_string(*trust.min_step);
  if (!manifest.step) throw refuse(expected + ", found none");
  if (*manifest.step < *trust.min_step) {
    throw refuse(expected + ", found " + std::to_string(*manifest.step));
  }
}

}  // namespace mad
