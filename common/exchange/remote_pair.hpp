#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "exchange/pair_texts.hpp"
#include "manifest/manifest.hpp"
#include "transport/transport.hpp"

namespace mad {

/// The name of the metadata by which an npz in a store says its SHA-256 (64 hex digits).
inline constexpr const char* k_digest_metadata = "mad-sha256";

/// The objects that a snapshot in a store is made of.
struct RemoteNames {
  /// `npz` with each suffix appended to its path, the query kept.
  explicit RemoteNames(const Url& npz_url);

  Url npz;
  Url manifest;
  Url next;
  Url signature;
  Url next_signature;
};

/// A manifest that no reader could use is as good as none.
std::optional<Manifest> parse_or_none(const std::optional<std::string>& text, const Url& url);

/// All of one version of a manifest or a signature.
struct SmallObject {
  std::string text;
  /// As ObjectInfo has it.
  std::string version;
};

/// Nothing where it is missing.  Throws Error(remote, `object-changing`) where it never rests.
std::optional<SmallObject> get_small(Transport& transport, const Url& url, std::size_t max_bytes);

/// The same where it may not be asked for (a URL that is signed for two objects only shows
/// the two), or is too large to be one: nothing.
std::optional<SmallObject> get_small_if_allowed(Transport& transport, const Url& url,
                                                std::size_t max_bytes);

/// Nothing of nothing.
std::optional<std::string> text_of(std::optional<SmallObject> object);

/// Whether `manifest` is of `npz`, as far as what the store says of the npz tells: the
/// digest in its metadata, else its size; nothing where neither decides.
std::optional<bool> belongs(const Manifest& manifest, const ObjectInfo& npz);

/// Which manifest is the npz's own, where a writer may have died between the two.
///
/// The manifest at `names.manifest` unless it is missing or of another npz and the one at
/// `names.next` is of this one (mad-push(1) writes `.next`, npz, manifest).  Where
/// metadata and size tell nothing and both have chunks, one chunk that differs between them
/// is read and decides.  Where both are of this npz and there is a signature, `.next`: the
/// signature may be its already.  Reads `.next` only where that can matter.
enum class RemoteOwner { manifest, next };
struct RemoteChoice {
  RemoteOwner owner = RemoteOwner::manifest;
  /// `.next`, where it was read and is a manifest.
  std::optional<SmallObject> next;
};
RemoteChoice choose_manifest(Transport& transport, const RemoteNames& names, const ObjectInfo& npz,
                             const PairTexts& texts);

}  // namespace mad
