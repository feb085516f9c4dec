#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/sink.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/state_tree.hpp"

namespace mad {

enum class NpzCompression { none, deflate };

/// Where an array went, and as what.
struct WrittenArray {
  NpzCompression compression = NpzCompression::none;
  /// Of the first (maybe compressed) byte of its `.npy`.
  std::uint64_t data_offset = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint32_t crc32 = 0;
};

/// Bytes of the archive that write_npz will make of `tree` without compression.
std::uint64_t npz_size_bytes(const StateTree& tree);

/// Refuses the tree where audit_npz would refuse the archive that write_npz makes of it, and
/// as that does, before anything is written.
void audit_tree(const StateTree& tree, const NpzLimits& limits, const std::string& subject);

/// Who looks on while an npz is written, from the thread that writes it.  Any may be absent.
struct NpzWatch {
  /// `bytes` more of the archive went out.
  std::function<void(std::uint64_t bytes)> wrote = {};
  /// `bytes` more of what is stored were read ahead for their CRC.
  std::function<void(std::uint64_t bytes)> read_ahead = {};
  /// Asked while an array is deflated, `settled_bytes` of the state being in the archive and
  /// `read_bytes` read: where it says no, this array and those after it are stored.
  std::function<bool(std::uint64_t settled_bytes, std::uint64_t read_bytes)> may_deflate = {};
};

/// Writes the state as an npz to `sink`, front to back in one pass of writes, and
/// does not call its finish().
///
/// Stored members in the tree's order, fixed time stamps (1980-01-01) and attributes
/// (regular file, 0644): the same state gives the same bytes.  Sizes and CRCs stand
/// in the local headers; each array's *data* (after its `.npy` header) begins at
/// a multiple of 64 bytes, by a padding extra field (id 0x414D, see zip_format.hpp);
/// ZIP64 only where needed.  With deflate, sizes and CRCs are in the local headers
/// too (each member is spooled while it is packed).
///
/// Each array is read twice: for its CRC, ahead and on another thread, then to be
/// written; with deflate to be packed, then for its CRC.  Where the two disagree, something
/// stored into the state meanwhile, and Error(refused, `state-changed`) names the array.
/// One entry for each of tree.arrays().
std::vector<WrittenArray> write_npz(const StateTree& tree, NpzCompression compression,
                                    BufferedSink& sink, const NpzWatch& watch);

}  // namespace mad
