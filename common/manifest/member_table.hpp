#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// NumPy's own limit.
inline constexpr std::size_t k_max_array_dimensions = 64;

/// One array of an npz, as the manifest's `members` describes it (mad-manifest(5)).
struct TableMember {
  /// `node/field`.
  std::string name;
  /// As in a topology's JSON: `<f8`, or NumPy's literal of a structured one.
  std::string dtype;
  std::vector<std::uint64_t> shape;
  bool fortran_order = false;
  /// Of its first element in the npz, or, where `packed_bytes` is there, of its deflated `.npy`.
  std::uint64_t offset = 0;
  /// Of its elements: the product of `shape` and the size of one.
  std::uint64_t size_bytes = 0;
  /// Of the `.npy` header before them.
  std::uint64_t header_bytes = 0;
  /// Of the deflated `.npy` in the npz; nothing where it is stored.
  std::optional<std::uint64_t> packed_bytes;
  /// ZIP's, of the whole `.npy`.
  std::uint32_t crc32 = 0;
  bool operator==(const TableMember&) const = default;

  /// Its `.npy`, packed or not, lies in the npz at [first_byte(), end_byte()).
  std::uint64_t first_byte() const { return packed_bytes ? offset : offset - header_bytes; }
  std::uint64_t end_byte() const { return offset + packed_bytes.value_or(size_bytes); }
};

/// In archive order.
using MemberTable = std::vector<TableMember>;

/// `text`, a valid JSON value, as a table.  Throws Error(refused, `manifest-invalid`) where
/// it is none, its members overlap or do not follow one another, or go beyond `size_bytes`.
MemberTable parse_member_table(std::string_view text, std::optional<std::uint64_t> size_bytes,
                               const std::string& subject);

/// As it stands in a manifest, a line a member; nothing where it is longer than `most`.
std::optional<std::string> format_member_table(const MemberTable& table, std::size_t most);

}  // namespace mad
