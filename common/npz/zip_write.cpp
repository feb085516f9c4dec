#include <sys/stat.h>

#include <algorithm>

#include "npz/zip_format.hpp"

namespace mad::zip {
namespace {

constexpr std::uint16_t k_extra_padding = 0x414D;
constexpr std::uint64_t k_alignment = 64;
constexpr std::uint16_t k_version_plain = 20;
constexpr std::uint16_t k_version_zip64 = 45;
/// By Unix, to version 4.5 of the specification.
constexpr std::uint16_t k_made_by = 3U << 8U | k_version_zip64;
/// 1980-01-01, the earliest there is.
constexpr std::uint16_t k_dos_date = 1U << 5U | 1U;
constexpr std::uint16_t k_dos_time = 0;

std::uint16_t flags_of(const NewEntry& entry) {
  const bool ascii = std::all_of(entry.name.begin(), entry.name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii ? std::uint16_t{0} : k_flag_utf8;
}

/// `value`, or the mark that it stands in the ZIP64 field, to which it is added.
std::uint64_t divert(std::uint64_t value, const Zip64Thresholds& from, std::string& wide) {
  if (value < from.bytes) return value;
  put64(wide, value);
  return k_in_zip64;
}

void put_common(std::string& out, const NewEntry& entry, std::uint16_t version,
                std::uint64_t compressed_bytes, std::uint64_t size_bytes, std::size_t extra_bytes) {
  put16(out, version);
  put16(out, flags_of(entry));
  put16(out, entry.method);
  put16(out, k_dos_time);
  put16(out, k_dos_date);
  put32(out, entry.crc32);
  put32(out, compressed_bytes);
  put32(out, size_bytes);
  put16(out, entry.name.size());
  put16(out, extra_bytes);
}

void put_extra(std::string& out, std::uint16_t id, const std::string& data) {
  put16(out, id);
  put16(out, data.size());
  out += data;
}

}  // namespace

std::string format_local(const NewEntry& entry, std::uint64_t align_bytes,
                         const Zip64Thresholds& from) {
  const bool wide = entry.size_bytes >= from.bytes || entry.compressed_bytes >= from.bytes;
  std::string extra;
  if (wide) {
    std::string sizes;
    put64(sizes, entry.size_bytes);
    put64(sizes, entry.compressed_bytes);
    put_extra(extra, k_extra_zip64, sizes);
  }
  if (align_bytes != 0) {
    const std::uint64_t unpadded =
        entry.local_offset + k_local_bytes + entry.name.size() + extra.size() + align_bytes;
    std::uint64_t padding = (k_alignment - unpadded % k_alignment) % k_alignment;
    // An extra field has at least its id and its length.
    if (padding > 0 && padding < 4) padding += k_alignment;
    if (padding > 0) {
      put_extra(extra, k_extra_padding, std::string(static_cast<std::size_t>(padding - 4), '\0'));
    }
  }
  std::string out;
  put32(out, k_local_signature);
  put_common(out, entry, wide ? k_version_zip64 : k_version_plain,
             wide ? k_in_zip64 : entry.compressed_bytes, wide ? k_in_zip64 : entry.size_bytes,
             extra.size());
  return out + entry.name + extra;
}

std::string format_central(const NewEntry& entry, const Zip64Thresholds& from) {
  // The order of the ZIP64 field's values (APPNOTE 4.5.3).
  std::string wide;
  const std::uint64_t size_bytes = divert(entry.size_bytes, from, wide);
  const std::uint64_t compressed_bytes = divert(entry.compressed_bytes, from, wide);
  const std::uint64_t local_offset = divert(entry.local_offset, from, wide);
  std::string extra;
  if (!wide.empty()) put_extra(extra, k_extra_zip64, wide);
  std::string out;
  put32(out, k_central_signature);
  put16(out, k_made_by);
  put_common(out, entry, wide.empty() ? k_version_plain : k_version_zip64, compressed_bytes,
             size_bytes, extra.size());
  put16(out, 0);  // comment
  put16(out, 0);  // disk
  put16(out, 0);  // internal attributes
  put32(out, static_cast<std::uint32_t>(S_IFREG | 0644U) << 16U);
  put32(out, local_offset);
  return out + entry.name + extra;
}

std::string format_end(const EndRecord& end, const Zip64Thresholds& from) {
  const bool many = end.entries >= from.entries;
  const bool far = end.directory_offset >= from.bytes;
  const bool large = end.directory_bytes >= from.bytes;
  std::string out;
  if (many || far || large) {
    put32(out, k_end64_signature);
    put64(out, k_end64_bytes - 12);
    put16(out, k_made_by);
    put16(out, k_version_zip64);
    put32(out, 0);  // disk
    put32(out, 0);  // disk of the directory
    put64(out, end.entries);
    put64(out, end.entries);
    put64(out, end.directory_bytes);
    put64(out, end.directory_offset);
    put32(out, k_locator_signature);
    put32(out, 0);  // disk
    put64(out, end.directory_offset + end.directory_bytes);
    put32(out, 1);  // disks
  }
  put32(out, k_end_signature);
  put16(out, 0);
  put16(out, 0);
  const std::uint64_t entries = many ? k_count_in_zip64 : end.entries;
  put16(out, entries);
  put16(out, entries);
  put32(out, large ? k_in_zip64 : end.directory_bytes);
  put32(out, far ? k_in_zip64 : end.directory_offset);
  put16(out, 0);
  return out;
}

}  // namespace mad::zip
