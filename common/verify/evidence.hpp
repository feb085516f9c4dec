#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "manifest/manifest.hpp"
#include "verify/archive_layout.hpp"

namespace mad {

/// Bytes of the npz: [first, end).
struct Extent {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  bool operator==(const Extent&) const = default;
};

/// A manifest that may be the npz's, and what of the npz is as it promises.
struct Witness {
  /// The file it stands in.
  std::string path;
  Digest sha256{};
  std::optional<std::uint64_t> size_bytes;
  std::optional<std::int64_t> step;
  std::optional<Chunks> chunks;

  /// Set by gather_evidence.  Of each of its chunks, whether the npz has it.
  std::vector<bool> right_chunks;
  /// Whether the npz is what it promises, or begins with it where it is longer.
  bool right_start = false;

  /// Whether chunks, or the whole, vouch for all of `range`.
  bool vouches_for(Extent range) const;
  /// Whether any chunk is right.
  bool knows_any() const;
};

/// What was found of one ArrayRecord.
struct ArrayEvidence {
  /// Its bytes are all there.
  bool complete = false;
  /// Its `.npy` header is one and fits its length.
  bool sound = false;
  /// Of its unpacked bytes.
  std::uint32_t crc32 = 0;
  /// Why it is not sound, or cannot be unpacked.
  std::string problem;
};

struct Evidence {
  /// One for each of the layout's arrays.
  std::vector<ArrayEvidence> arrays;
  /// Stretches of zeros of a sector or more, in their order; of too many the longest.
  std::vector<Extent> zeros;
};

/// Reads the npz once, front to back, and holds every byte against all that is promised
/// of it.  Of deflated arrays no more than `max_bytes` are unpacked in all.
Evidence gather_evidence(int npz, std::uint64_t size_bytes, const ArchiveLayout& layout,
                         std::vector<Witness>& witnesses, std::uint64_t max_bytes,
                         const std::string& subject);

}  // namespace mad
