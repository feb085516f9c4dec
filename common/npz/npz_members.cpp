#include "npz/npz_members.hpp"

namespace mad {
namespace {

/// Of a node of the map, and of what an entry of the list takes.
constexpr std::uint64_t k_dtype_cost_bytes = 128;
/// At least the longest key.
constexpr std::size_t k_key_block_bytes = 65536;

}  // namespace

void NpyHeaders::push_back(const NpyHeader& header) {
  const auto [number, is_new] =
      dtype_numbers_.emplace(header.descr, static_cast<std::uint32_t>(dtypes_.size()));
  if (is_new) {
    dtypes_.push_back({&number->first, header.item_bytes});
    dtype_bytes_ += header.descr.size() + k_dtype_cost_bytes;
  }
  Entry entry{};
  entry.dtype = number->second;
  entry.shape_offset = static_cast<std::uint32_t>(shapes_.size());
  entry.header_bytes = static_cast<std::uint16_t>(header.header_bytes);
  entry.dimensions = static_cast<std::uint8_t>(header.shape.size());
  entry.fortran_order = header.fortran_order;
  entries_.push_back(entry);
  for (std::uint64_t extent : header.shape) {
    for (; extent >= 0x80; extent >>= 7U) {
      shapes_.push_back(static_cast<std::uint8_t>(extent | 0x80U));
    }
    shapes_.push_back(static_cast<std::uint8_t>(extent));
  }
}

NpyHeader NpyHeaders::operator[](std::size_t index) const {
  const Entry& entry = entries_[index];
  const Dtype& dtype = dtypes_[entry.dtype];
  NpyHeader header;
  header.descr = *dtype.descr;
  header.fortran_order = entry.fortran_order;
  header.item_bytes = dtype.item_bytes;
  header.header_bytes = entry.header_bytes;
  header.data_bytes = dtype.item_bytes;
  header.shape.reserve(entry.dimensions);
  auto digit = shapes_.begin() + entry.shape_offset;
  for (unsigned i = 0; i < entry.dimensions; ++i) {
    std::uint64_t extent = 0;
    for (unsigned shift = 0;; shift += 7, ++digit) {
      extent |= std::uint64_t{*digit & 0x7FU} << shift;
      if (*digit < 0x80) break;
    }
    ++digit;
    header.shape.push_back(extent);
    header.data_bytes *= extent;
  }
  return header;
}

void NpzMembers::push_back(const NpzMember& member) {
  if (key_blocks_.empty() || key_blocks_.back().size() + member.key.size() > k_key_block_bytes) {
    key_blocks_.emplace_back().reserve(k_key_block_bytes);
  }
  std::string& block = key_blocks_.back();
  Entry entry{};
  entry.local_header_offset = member.local_header_offset;
  entry.compressed_bytes = member.compressed_bytes;
  entry.size_bytes = member.size_bytes;
  entry.local_header_bytes =
      static_cast<std::uint32_t>(member.data_offset - member.local_header_offset);
  entry.crc32 = member.crc32;
  entry.key_offset =
      static_cast<std::uint32_t>((key_blocks_.size() - 1) * k_key_block_bytes + block.size());
  entry.key_bytes = static_cast<std::uint16_t>(member.key.size());
  entry.method = member.method;
  block += member.key;
  entries_.push_back(entry);
  headers_.push_back(member.header);
}

std::string_view NpzMembers::key(std::size_t index) const {
  const Entry& entry = entries_[index];
  return std::string_view(key_blocks_[entry.key_offset / k_key_block_bytes])
      .substr(entry.key_offset % k_key_block_bytes, entry.key_bytes);
}

NpzMember NpzMembers::operator[](std::size_t index) const {
  const Entry& entry = entries_[index];
  NpzMember member;
  member.key = key(index);
  member.method = entry.method;
  member.local_header_offset = entry.local_header_offset;
  member.data_offset = entry.local_header_offset + entry.local_header_bytes;
  member.compressed_bytes = entry.compressed_bytes;
  member.size_bytes = entry.size_bytes;
  member.crc32 = entry.crc32;
  member.header = headers_[index];
  return member;
}

}  // namespace mad
