#include "verify/checks.hpp"

#include "base/text.hpp"
#include "io/file.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

NpzLimits npz_limits(const VerifyOptions& options) {
  NpzLimits limits;
  if (options.max_bytes) limits.max_bytes = *options.max_bytes;
  return limits;
}

std::optional<std::string> read_given_manifest(const VerifyOptions& options) {
  if (!options.manifest_path) return std::nullopt;
  const std::string& path = *options.manifest_path;
  const Fd file = open_regular(path);
  return read_small_file(file.get(), k_max_manifest_bytes, path);
}

std::string given_signature_path(const VerifyOptions& options) {
  return *options.manifest_path + ".sig";
}

std::optional<std::string> read_given_signature(const VerifyOptions& options) {
  if (!options.manifest_path) return std::nullopt;
  const std::string path = given_signature_path(options);
  try {
    const Fd file = open_regular(path);
    std::string bytes(k_max_signature_file_bytes + 1, '\0');
    bytes.resize(pread_full(file.get(), std::as_writable_bytes(std::span(bytes)), 0, path));
    return bytes;
  } catch (const Error& error) {
    if (error.code == ExitCode::not_found) return std::nullopt;
    throw;
  }
}

Error size_mismatch(const std::string& subject, std::uint64_t expected, std::uint64_t found) {
  const bool shorter = found < expected;
  const std::string difference = count_of_bytes(shorter ? expected - found : found - expected);
  return {
      ExitCode::refused, "size-mismatch", subject,
      "size mismatch: expected " + count_of_bytes(expected) + ", found " + std::to_string(found),
      "the file is " + difference + (shorter ? " shorter" : " longer") +
          " than the manifest says; fetch it again"};
}

Error size_exceeded(const std::string& subject, std::uint64_t expected) {
  return {ExitCode::refused, "size-mismatch", subject,
          "size mismatch: expected " + count_of_bytes(expected) + ", found more",
          "the file is longer than the manifest says; fetch it again"};
}

Error size_beyond_limit(const std::string& subject, std::uint64_t limit,
                        std::optional<std::uint64_t> found) {
  return {ExitCode::refused, "too-large", subject,
          "expected at most " + count_of_bytes(limit) + " (--max-size), found " +
              (found ? std::to_string(*found) : "more")};
}

Error sha256_mismatch(const std::string& subject, const std::string& witness,
                      const Digest& expected, const Digest& found) {
  const std::string first = witness + ": ";
  std::string second = "file: ";
  if (second.size() < first.size()) second.append(first.size() - second.size(), ' ');
  return {ExitCode::refused, "sha256-mismatch", subject,
          "SHA-256 mismatch\n" + first + to_hex(expected) + "\n" + second + to_hex(found)};
}

Error chunk_mismatch(const std::string& subject, std::uint64_t index, std::uint64_t offset,
                     std::uint64_t length, const Digest& expected, const Digest& found) {
  return {ExitCode::refused, "chunk-mismatch", subject,
          "chunk " + std::to_string(index) + " (bytes " + std::to_string(offset) + " to " +
              std::to_string(offset + length) +
              "): SHA-256 mismatch\nmanifest: " + to_hex(expected) + "\nfile:     " + to_hex(found),
          "fetch it again"};
}

Error chunk_count_mismatch(const std::string& subject, std::uint64_t expected,
                           std::uint64_t found) {
  return {ExitCode::refused, "chunk-mismatch", subject,
          "the manifest lists " + std::to_string(expected) + " chunks, the file has " +
              std::to_string(found)};
}

Error digests_contradict(const std::string& subject, const std::string& what) {
  return {ExitCode::refused, "digests-contradict", subject,
          "the manifest's sha256 and chunks contradict each other: " + what,
          "the manifest was damaged or made up; take the snapshot again, or its manifest from "
          "elsewhere"};
}

std::string whole_is_not(const Digest& expected, const Digest& found) {
  return "every chunk is right and the whole is not\nmanifest: " + to_hex(expected) +
         "\nfile:     " + to_hex(found);
}

Error unsteady(const std::string& subject) {
  return {ExitCode::io, "unsteady", subject,
          "read twice, it was damaged the first time and sound the second",
          "somebody writes to it, or its disk or the memory here is failing"};
}

Error manifest_missing(const std::string& subject) {
  return {ExitCode::not_found, "manifest-missing", subject,
          "there is no manifest, so nothing says which bytes are right",
          "for a snapshot from before manifests: --skip-integrity-check"};
}

}  // namespace mad
