#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "npz/npz_members.hpp"

namespace mad {

/// What an archive may cost its reader.
struct NpzLimits {
  /// Of the archive, and of its unpacked arrays together.  A compression ratio
  /// is no bomb test: honest zeros compress 1000:1.
  std::uint64_t max_bytes = std::uint64_t{1} << 46U;
  std::uint64_t max_members = std::uint64_t{1} << 18U;
  /// Central directory: names and records, held in memory.
  std::uint64_t max_directory_bytes = std::uint64_t{16} << 20U;
  /// All shapes, and the dtypes, of which each counts once.
  std::uint64_t max_header_bytes = std::uint64_t{4} << 20U;
};

/// Holds an archive's central directory against its local headers (APPNOTE 6.3.10),
/// so that what NumPy reads from the directory and what a forward reader sees are
/// the same thing, or the archive is refused; then parses every array's header.
/// Does not check CRCs (check_npz_data does).
///
/// `archive` is a seekable regular file of `size_bytes`; `subject` names it.
/// Members come back in archive order.  Allows what NumPy honestly writes: 0xFFFFFFFF
/// and a ZIP64 extra in the local header only, data descriptors, mode bits without
/// a file type, an empty archive.  Refuses (code refused; reasons `archive-invalid`,
/// `member-name`, `member-duplicate`, `member-collision`, `member-method`,
/// `member-encrypted`, `npy-invalid`, `npy-object`, `npy-size`, `too-large`) the rest.
NpzMembers audit_npz(int archive, std::uint64_t size_bytes, const NpzLimits& limits,
                     const std::string& subject);

/// Reads every member whole and checks its CRC-32, its length and, where deflated,
/// that the stream ends exactly at its end; uses up to two threads.  Refuses with
/// `member-crc`, `archive-invalid`.
void check_npz_data(int archive, const NpzMembers& members, const std::string& subject);

/// The same two checks over bytes that come once, in order, so that a pipe needs no
/// second pass.  Possible for stored members whose local headers carry their sizes
/// (ours, and np.savez to a file); for others followable() turns false and the
/// archive must be checked from a file.
///
/// Nothing that it saw counts until finish(): the directory at the end decides.
class NpzStreamAuditor {
 public:
  NpzStreamAuditor(const NpzLimits& limits, std::string subject);
  ~NpzStreamAuditor();
  NpzStreamAuditor(const NpzStreamAuditor&) = delete;
  NpzStreamAuditor& operator=(const NpzStreamAuditor&) = delete;

  /// Never throws for a defect of the archive; it is kept for finish().
  void feed(Bytes bytes);
  bool followable() const;
  /// Accepts what audit_npz and check_npz_data accept of the same bytes, and nothing
  /// else; a refusal may name an offset where theirs names the member.  Call only while
  /// followable().
  NpzMembers finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
