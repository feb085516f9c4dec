#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "exchange/part_sender.hpp"
#include "hash/sha256.hpp"
#include "manifest/manifest.hpp"

namespace mad {

/// What was read to its end and found to be one snapshot: size, SHA-256 and, where they can
/// be had in the same pass, chunks are those that its manifest gives.
struct SentSnapshot {
  std::string manifest;
  std::optional<std::string> signature;
  Digest sha256{};
  std::uint64_t size_bytes = 0;
};

/// A sender for an object, made anew, that digests chunks of this many bytes.
using BeginSender = std::function<PartSender&(std::uint64_t chunk_bytes)>;

/// Where a snapshot to be pushed comes from.
class PushSource {
 public:
  virtual ~PushSource() = default;
  /// For messages; free of secrets.
  virtual const std::string& subject() const = 0;
  /// The manifest, its signature, its digest and the npz's size, where they are known before it
  /// is read.
  virtual const std::optional<std::string>& manifest() const = 0;
  virtual const std::optional<std::string>& signature() const = 0;
  virtual std::optional<Digest> sha256() const = 0;
  virtual std::optional<std::uint64_t> size_bytes() const = 0;

  /// Reads it into the sender that `begin` gives; once more, into a new one, where the
  /// stream began again.  Nothing where there is no snapshot to push (a bundle of stage
  /// `absent`).
  ///
  /// Throws Error(refused, `size-mismatch` | `sha256-mismatch` | `chunk-mismatch`) where it
  /// is no whole snapshot, Error(not_found, `manifest-missing`), what parse_manifest and
  /// BundleReader throw, and the failure that a seal tells.
  virtual std::optional<SentSnapshot> send(const BeginSender& begin) = 0;
};

/// The pair on disk at `npz_path`; throws what open_snapshot throws.
std::unique_ptr<PushSource> push_from_file(const std::string& npz_path);

/// A bundle that has not begun, from an open descriptor; read once.
std::unique_ptr<PushSource> push_from_bundle(int fd);

}  // namespace mad
