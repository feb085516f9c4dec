#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "hash/sha256.hpp"
#include "manifest/manifest.hpp"
#include "manifest/topology.hpp"
#include "npz/npz_auditor.hpp"
#include "verify/trust.hpp"

namespace mad {

/// What mad-verify is asked to hold a snapshot against (mad-verify(1)).
struct VerifyOptions {
  /// Taken instead of the manifest beside the file, or in the bundle.
  std::optional<std::string> manifest_path;
  /// Trusted, instead of the manifest's; the manifest is then optional.
  std::optional<Digest> sha256;
  Trust trust;
  /// See read_topology.
  std::optional<std::string> expect_path;
  /// What stands there, once verify_files has read it.
  std::optional<Topology> expected;
  /// Of the npz, and of its arrays unpacked.
  std::optional<std::uint64_t> max_bytes;
  /// For the spool; see open_unnamed_file.
  std::string spool_dir;
  /// Where to write what is intact of a file.
  std::optional<std::string> salvage_dir;
  bool stream = false;
  bool unsealed = false;
  bool skip_integrity_check = false;
  bool json = false;
  /// Checks every chunk, on all processors, and not the whole's digest, which only one can make.
  bool all_cores = false;
  /// Called when everything was opened that the filter needs, and before verify_files opens the
  /// first of its files, but for the keys; nothing was parsed then that a stranger may have made.
  std::function<void()> confine = [] {};
};

NpzLimits npz_limits(const VerifyOptions& options);

/// The manifest at --manifest, or nothing.
std::optional<std::string> read_given_manifest(const VerifyOptions& options);
/// Its signature, `PATH.sig`, or nothing.
std::optional<std::string> read_given_signature(const VerifyOptions& options);
std::string given_signature_path(const VerifyOptions& options);

/// The refusals, worded alike for streams and files.  `subject` is the npz.
Error size_mismatch(const std::string& subject, std::uint64_t expected, std::uint64_t found);
/// More bytes came than were promised; how many more is not known.
Error size_exceeded(const std::string& subject, std::uint64_t expected);
/// `found` where the size is known; a stream is left before its end.
Error size_beyond_limit(const std::string& subject, std::uint64_t limit,
                        std::optional<std::uint64_t> found = {});
/// `witness` is who promised: `manifest`, `--sha256`.
Error sha256_mismatch(const std::string& subject, const std::string& witness,
                      const Digest& expected, const Digest& found);
/// Chunk `index` lies at [offset, offset + length).
Error chunk_mismatch(const std::string& subject, std::uint64_t index, std::uint64_t offset,
                     std::uint64_t length, const Digest& expected, const Digest& found);
Error chunk_count_mismatch(const std::string& subject, std::uint64_t expected, std::uint64_t found);
/// The manifest's `sha256` and `chunks` are not of the same bytes; `what` says which one the
/// file has.
Error digests_contradict(const std::string& subject, const std::string& what);
/// For it: every chunk is right, but not the whole.
std::string whole_is_not(const Digest& expected, const Digest& found);
/// Two readings of one file were not the same.
Error unsteady(const std::string& subject);
Error manifest_missing(const std::string& subject);

}  // namespace mad
