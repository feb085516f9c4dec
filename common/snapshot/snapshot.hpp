#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hash/sha256.hpp"
#include "io/file.hpp"
#include "manifest/manifest.hpp"
#include "manifest/topology.hpp"
#include "npz/npz_auditor.hpp"

namespace mad {

inline constexpr std::string_view k_manifest_suffix = ".manifest.json";
inline constexpr std::string_view k_next_suffix = ".manifest.json.next";
inline constexpr std::string_view k_signature_suffix = ".manifest.json.sig";
inline constexpr std::string_view k_next_signature_suffix = ".manifest.json.sig.next";

/// A snapshot on disk opened for reading: the pair belongs together even where a
/// writer is replacing it or died while doing so.
struct OpenSnapshot {
  Fd npz;
  std::uint64_t size_bytes = 0;
  /// The manifest's exact bytes; nothing where it is missing.
  std::optional<std::string> manifest;
  /// Its path: the manifest, or the `.next` that an interrupted writer left and
  /// that belongs to the npz.
  std::string manifest_path;
  /// The signature that was published with this manifest, its bytes as they are (of more than
  /// k_max_signature_file_bytes the beginning, which is none in any case), and its path.
  std::optional<std::string> signature;
  std::string signature_path;
};

inline constexpr std::size_t k_max_signature_file_bytes = std::size_t{64} << 10U;

enum class ManifestNeed { required, optional };

/// Opens the pair under a shared lock on its directory where that can be had.
/// Where a `.next` exists, chooses by hashing the npz, the lock let go, and says so (log_note);
/// what moved meanwhile is opened once more.
/// A signature that cannot be read is warned of and taken for none.
/// Writes nothing.  Throws Error(not_found, `snapshot-missing` | `manifest-missing`),
/// Error(refused, `not-regular`).  Does not verify.
OpenSnapshot open_snapshot(const std::string& npz_path, ManifestNeed need);

/// The digests of a file and of its chunks, `chunk_bytes_for` its size.
struct FileDigests {
  Digest sha256{};
  std::uint64_t size_bytes = 0;
  Chunks chunks;
};
FileDigests digest_file(int file, const std::string& subject, std::string_view progress_label);

/// The topology of an audited archive.
Topology topology_of(const NpzMembers& members);

/// The array that says which step a state is of.
inline constexpr std::string_view k_step_key = "_meta/step_count";

/// The value of a 0-d (or one-element) integer array, whose data is `item`.
std::optional<std::int64_t> parse_step(const NpyHeader& header, Bytes item);

/// `_meta/step_count` where it is there and parse_step can read it.
std::optional<std::int64_t> step_of(int archive, const NpzMembers& members);

}  // namespace mad
