#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace mad {

/// Pieces of the npz in a bundle are at most this long.
inline constexpr std::size_t k_piece_bytes = std::size_t{4} << 20U;

enum class Stage { created, fetched, verified, unverified, absent, failed };
std::string_view name_of(Stage stage);
/// Whether a bundle of this stage carries an npz: all but absent and failed.
bool has_npz(Stage stage);

/// What the members of a bundle are called (mad-bundle(5)).
inline constexpr std::string_view k_seal_member = ".mad-seal.json";
inline constexpr std::string_view k_restart_member = ".mad-restart";
inline constexpr std::string_view k_manifest_member_suffix = ".manifest.json";
inline constexpr std::string_view k_signature_member_suffix = ".manifest.json.sig";
inline constexpr std::string_view k_parts_infix = ".parts/";
inline constexpr std::size_t k_part_digits = 10;
inline constexpr std::size_t k_max_seal_bytes = std::size_t{64} << 10U;
inline constexpr std::size_t k_max_signature_bytes = std::size_t{64} << 10U;

/// The last member of a bundle, `.mad-seal.json` (mad-bundle(5)).
struct Seal {
  Stage stage = Stage::failed;
  /// The tool that wrote it; of a passed-on failure, the tool that failed.
  std::string tool;
  /// created, fetched, verified, unverified.
  std::optional<std::uint64_t> size_bytes;
  /// verified: 64 hex digits.
  std::string sha256;
  /// verified: `signature`, `schema`, `freshness`, `size`, `sha256`, `chunks`, `structure`,
  /// `topology`.
  std::vector<std::string> checked;
  /// failed: the exit code; absent and failed: why.
  ExitCode code = ExitCode::ok;
  std::string reason;
  std::string message;
};

/// The seal of a stage that could not do its work.
Seal failed_seal(std::string_view tool, const Error& error);
/// The error that a later stage reports for a failed seal: the seal's own code,
/// reason and message, subject the stage that failed.
Error error_of(const Seal& seal);

std::string format_seal(const Seal& seal);
/// Untrusted.  Throws Error(refused, `bundle-invalid`) about `subject`.
Seal parse_seal(std::string_view bytes, const std::string& subject);

/// The last component of a path or decoded URL as a bundle's name: printable, no
/// slash, no leading dot, at most 200 bytes, ending in `.npz`; `snapshot.npz` where
/// nothing fit remains.
std::string bundle_name(std::string_view from);

}  // namespace mad
