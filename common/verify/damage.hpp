#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "hash/sha256.hpp"
#include "manifest/manifest.hpp"
#include "npz/npz_auditor.hpp"
#include "verify/archive_layout.hpp"
#include "verify/evidence.hpp"

namespace mad {

/// What is known of one array's bytes.
enum class ArrayState {
  proven,      ///< the manifest's digests vouch for every one, and for the name
  consistent,  ///< its CRC-32 and its header fit, but nothing vouches for it
  damaged,     ///< they do not
  lost         ///< they are not all there
};
std::string_view name_of(ArrayState state);

/// One array of a refused snapshot.
struct ExaminedArray {
  std::string name;
  ArrayState state = ArrayState::lost;
  /// Where its `.npy` is in the npz, packed or not.
  Extent bytes;
  NpzMethod method = NpzMethod::stored;
  /// Of its `.npy`, unpacked, and the CRC-32 that was found.
  std::uint64_t size_bytes = 0;
  std::uint32_t crc32 = 0;
  /// What is wrong, or whether more than its CRC-32 is known; for people.
  std::string detail;
};

/// One thing that is wrong, and where.
struct DamageFinding {
  /// A stable identifier (mad-verify(1)).
  std::string kind;
  /// Empty where it is about the whole.
  Extent bytes;
  /// The first arrays that it falls into.
  std::vector<std::string> arrays;
  std::uint64_t more_arrays = 0;
  std::string text;
};

/// Where a refused snapshot is damaged, and what of it is left.
struct Damage {
  LayoutSource arrays_from = LayoutSource::nothing;
  std::vector<DamageFinding> findings;
  std::uint64_t more_findings = 0;
  std::vector<ExaminedArray> arrays;
  /// Not examined: there are more than k_max_examined_arrays.
  std::uint64_t more_arrays = 0;

  std::uint64_t count(ArrayState state) const;
};

/// What the refusal knows.
struct Refusal {
  int npz = -1;
  std::uint64_t size_bytes = 0;
  std::string subject;
  /// Of the npz as named, for the manifests beside it.
  std::string path;
  /// Of all its bytes, where that was found out.
  std::optional<Digest> sha256;
  /// The manifest that was taken, and its path, where it could be parsed.
  const Manifest* manifest = nullptr;
  std::string manifest_path;
  /// Given, and trusted instead of the manifest.
  std::optional<Digest> trusted_sha256;
  /// Nothing was wrong with the archive itself.
  bool structure_ok = false;
  /// `_meta/step_count` of an archive with nothing wrong.
  std::optional<std::int64_t> step;
  std::optional<Error> error;
  /// More than this is not unpacked.
  std::uint64_t max_bytes = NpzLimits{}.max_bytes;
};

/// Looks for the damage: one pass over the npz, and small reads of it and of the manifests
/// beside it.  Writes nothing.  Bounded memory.
Damage find_damage(const Refusal& refusal);

}  // namespace mad
