#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hash/sha256.hpp"
#include "manifest/member_table.hpp"

namespace mad {

inline constexpr int k_schema_version = 1;
/// A reader of schema N reads N and N-1, never below 1.
inline constexpr int k_oldest_schema_version = 1;
/// A manifest larger than this is refused (`too-large`): it is held in memory.  Room
/// for the digests of 1.7 TiB in chunks of 16 MiB.
inline constexpr std::size_t k_max_manifest_bytes = std::size_t{8} << 20U;
/// Larger chunks are refused: a verifier holds a chunk back until it has seen it whole.
inline constexpr std::uint64_t k_max_chunk_bytes = std::uint64_t{16} << 20U;

/// The digests of each consecutive `chunk_bytes` of the npz, the last one shorter; an
/// empty npz has none.  `chunk_bytes` is a multiple of 64.
struct Chunks {
  std::uint64_t chunk_bytes = 0;
  std::vector<Digest> digests;
};

/// What stands in `<npz>.manifest.json`, schema version 1 (mad-manifest(5)).
struct Manifest {
  int schema_version = k_schema_version;
  Digest sha256{};
  /// Absent in a manifest is a warning; a wrong one is a refusal.
  std::optional<std::uint64_t> size_bytes;
  /// The raw JSON text of `extra` (an object), as its producer wrote it, which may
  /// hold what strict JSON does not: NaN, lone surrogates, duplicate keys.
  std::string extra = "{}";
  std::optional<std::string> created_at;
  std::optional<std::int64_t> step;
  /// Absent too where the list is by an algorithm that this reader does not know.
  /// Their number is held against `size_bytes` where that is there.
  std::optional<Chunks> chunks;
  std::optional<MemberTable> members;
};

/// Whether a top-level key is one that parse_manifest reads.
bool is_manifest_key(std::string_view key);

/// Untrusted bytes to a value.  Strict where it counts and not stricter than
/// Python's json in `extra`: see mad-manifest(5).  Throws Error(refused,
/// `manifest-invalid`) naming the key, what was expected and what was found, and
/// Error(schema, `schema-too-old` | `schema-too-new`) naming the remedy.
/// The order of checks is the reference's: schema_version first, then sha256.
Manifest parse_manifest(std::string_view bytes, const std::string& subject);

/// The manifest's bytes: `schema_version`, `sha256`, `size_bytes`, `extra` first and
/// in this order, two blanks of indent, a final newline.  `extra` goes out as it is.
///
/// `chunks`, and `members`, are left out where the manifest would pass k_max_manifest_bytes
/// with them, which is said (log_verbose).  Throws Error(refused, `too-large`) where `extra`
/// alone passes that.
std::string format_manifest(const Manifest& manifest);

/// `bytes`, which parse_manifest accepts, with the size, step and tables of `with`: the
/// rest, keys that this reader does not know included, says what it said.  Throws
/// Error(refused, `too-large`).
std::string upgrade_manifest(std::string_view bytes, const Manifest& with,
                             const std::string& subject);

/// `text`, an object from a file that `subject` names, as an `extra`: the same tokens,
/// indented as they stand in a manifest.  Throws Error(usage) where it is no object.
std::string normal_extra(std::string_view text, const std::string& subject);

/// Sets `key` of the object text `extra` to `value`: JSON where it parses, else a
/// string.  A key that is there already is replaced in place.  Throws
/// Error(usage) where `extra` is no JSON object.
std::string set_extra(const std::string& extra, std::string_view key, std::string_view value);
/// The same with a value that is a string whatever it looks like; nothing is null.
std::string set_extra_string(const std::string& extra, std::string_view key,
                             const std::optional<std::string>& value);

}  // namespace mad
