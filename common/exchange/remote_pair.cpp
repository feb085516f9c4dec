#include "exchange/remote_pair.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "bundle/bundle.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

constexpr int k_max_small_restarts = 5;

class SmallReceiver final : public Receiver {
 public:
  void begin(const ObjectInfo& object) override { object_.version = object.version; }
  void write(Bytes bytes) override { object_.text += as_text(bytes); }
  void restart() override { object_.text.clear(); }
  SmallObject& object() { return object_; }

 private:
  SmallObject object_;
};

/// The digest of one chunk of the npz, read for it.
class ChunkDigest final : public Receiver {
 public:
  void begin(const ObjectInfo&) override {}
  void write(Bytes bytes) override { hash_.update(bytes); }
  void restart() override { hash_ = Sha256(); }
  Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
};

/// Decides by a chunk whose digests differ; nothing where that cannot be.
std::optional<RemoteOwner> owner_by_chunk(Transport& transport, const Url& url,
                                          const ObjectInfo& npz, const Manifest& manifest,
                                          const Manifest& next) {
  if (!manifest.chunks || !next.chunks || !npz.size_bytes || npz.version.empty() ||
      manifest.chunks->chunk_bytes != next.chunks->chunk_bytes ||
      manifest.chunks->digests.size() != next.chunks->digests.size()) {
    return std::nullopt;
  }
  const std::vector<Digest>& ours = manifest.chunks->digests;
  const std::vector<Digest>& theirs = next.chunks->digests;
  const auto differing = std::mismatch(ours.begin(), ours.end(), theirs.begin());
  if (differing.first == ours.end()) return std::nullopt;
  const std::uint64_t chunk_bytes = manifest.chunks->chunk_bytes;
  const std::uint64_t offset =
      static_cast<std::uint64_t>(differing.first - ours.begin()) * chunk_bytes;
  if (offset >= *npz.size_bytes) return std::nullopt;
  ChunkDigest chunk;
  const RangeOutcome outcome =
      transport.get_range(url, npz, offset, std::min(chunk_bytes, *npz.size_bytes - offset), chunk);
  if (outcome != RangeOutcome::complete) return std::nullopt;
  return chunk.finish() == *differing.second ? RemoteOwner::next : RemoteOwner::manifest;
}

}  // namespace

RemoteNames::RemoteNames(const Url& npz_url)
    : npz(npz_url),
      manifest(with_path_suffix(npz_url, k_manifest_suffix)),
      next(with_path_suffix(npz_url, k_next_suffix)),
      signature(with_path_suffix(npz_url, k_signature_member_suffix)),
      next_signature(with_path_suffix(npz_url, std::string(k_signature_member_suffix) + ".next")) {}

std::optional<Manifest> parse_or_none(const std::optional<std::string>& text, const Url& url) {
  if (!text) return std::nullopt;
  try {
    return parse_manifest(*text, display_url(url));
  } catch (const Error& error) {
    log_verbose(error.what());
    return std::nullopt;
  }
}

std::optional<SmallObject> get_small(Transport& transport, const Url& url, std::size_t max_bytes) {
  for (int restarts = 0; restarts <= k_max_small_restarts; ++restarts) {
    SmallReceiver receiver;
    switch (transport.get(url, receiver, max_bytes)) {
      case GetOutcome::complete:
        return std::move(receiver.object());
      case GetOutcome::missing:
        return std::nullopt;
      case GetOutcome::changed:
        break;
    }
  }
  throw Error(ExitCode::remote, "object-changing", display_url(url),
              "it changed while it was read, again and again");
}

std::optional<SmallObject> get_small_if_allowed(Transport& transport, const Url& url,
                                                std::size_t max_bytes) {
  try {
    return get_small(transport, url, max_bytes);
  } catch (const Error& error) {
    if (error.code != ExitCode::access_denied && error.reason != "too-large") throw;
    return std::nullopt;
  }
}

std::optional<std::string> text_of(std::optional<SmallObject> object) {
  if (!object) return std::nullopt;
  return std::move(object->text);
}

std::optional<bool> belongs(const Manifest& manifest, const ObjectInfo& npz) {
  const auto digest = npz.metadata.find(k_digest_metadata);
  if (digest != npz.metadata.end()) return digest->second == to_hex(manifest.sha256);
  if (manifest.size_bytes && npz.size_bytes && *manifest.size_bytes != *npz.size_bytes) {
    return false;
  }
  return std::nullopt;
}

RemoteChoice choose_manifest(Transport& transport, const RemoteNames& names, const ObjectInfo& npz,
                             const PairTexts& texts) {
  const auto current = parse_or_none(texts.manifest, names.manifest);
  if (current && !texts.signature && belongs(*current, npz).value_or(false)) return {};
  RemoteChoice choice;
  auto found = get_small_if_allowed(transport, names.next, k_max_manifest_bytes);
  if (!found || found->text == texts.manifest) return choice;
  const auto next = parse_or_none(found->text, names.next);
  if (!next) return choice;
  choice.next = std::move(found);
  const auto is_next = belongs(*next, npz);
  if (is_next.has_value()) {
    if (*is_next) choice.owner = RemoteOwner::next;
    return choice;
  }
  if (!current || belongs(*current, npz).has_value()) {
    choice.owner = RemoteOwner::next;
  } else if (current->sha256 != next->sha256) {
    choice.owner =
        owner_by_chunk(transport, names.npz, npz, *current, *next).value_or(RemoteOwner::manifest);
  }
  return choice;
}

}  // namespace mad
