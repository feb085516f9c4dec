#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "manifest/member_table.hpp"
#include "npz/npz_member.hpp"

namespace mad {

/// Of more arrays than this the first are examined one by one, the others counted.
inline constexpr std::size_t k_max_examined_arrays = 65536;

/// Where one array of a damaged archive is, and what is promised of it there.
struct ArrayRecord {
  std::string name;
  NpzMethod method = NpzMethod::stored;
  /// Of its local header, or of its data where that header cannot be read.
  std::uint64_t first_byte = 0;
  /// Of its `.npy`, packed or not.
  std::uint64_t data_offset = 0;
  std::uint64_t packed_bytes = 0;
  /// Of its `.npy`, unpacked.
  std::uint64_t size_bytes = 0;
  /// Nothing where no record gives one.
  std::optional<std::uint32_t> crc32;
  /// The local header's, where it is the directory's in all but this.
  std::optional<std::uint32_t> local_crc32;
  /// Its local header stands where it should and gives this name and these sizes.
  bool named_by_header = false;
  /// So does the manifest's table.
  bool named_by_table = false;
  /// Its records give it several names, or none that can be an array's.
  bool name_in_doubt = false;
  /// What is wrong with its records.
  std::string problem;

  std::uint64_t end_byte() const { return data_offset + packed_bytes; }
};

/// What told where the arrays are.
enum class LayoutSource { directory, members, headers, nothing };
std::string_view name_of(LayoutSource source);

/// Where the arrays of an archive are, in its order.
struct ArchiveLayout {
  LayoutSource source = LayoutSource::nothing;
  std::vector<ArrayRecord> arrays;
  /// Beyond k_max_examined_arrays.
  std::uint64_t more_arrays = 0;
  /// Where the directory begins, and the archive ends, as its own end record says.
  std::optional<std::uint64_t> directory_offset;
  std::optional<std::uint64_t> archive_bytes;
  /// Why the directory cannot be read; empty where it can be.
  std::string directory_problem;
};

/// Finds the arrays of an archive however broken it is: by its directory; else by the
/// manifest's table, where one of its arrays at least is where it says; else by the local
/// headers that can be found.  Never throws for what stands in the file.
///
/// Reads records only, and once each stretch in which a local header has to be searched.
/// `size_bytes` is the file's; the archive may be promised to end before (`promised_bytes`).
ArchiveLayout read_layout(int npz, std::uint64_t size_bytes,
                          std::optional<std::uint64_t> promised_bytes, const MemberTable* table);

}  // namespace mad
