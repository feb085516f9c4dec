#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/fd.hpp"

/// The records of a ZIP archive (APPNOTE 6.3.10), as bytes and as values.  Parsing
/// throws Error(refused) and trusts no length.
namespace mad::zip {

inline constexpr std::uint32_t k_local_signature = 0x04034B50;
inline constexpr std::uint32_t k_central_signature = 0x02014B50;
inline constexpr std::uint32_t k_end_signature = 0x06054B50;
inline constexpr std::uint32_t k_end64_signature = 0x06064B50;
inline constexpr std::uint32_t k_locator_signature = 0x07064B50;
inline constexpr std::uint32_t k_descriptor_signature = 0x08074B50;

inline constexpr std::size_t k_local_bytes = 30;
inline constexpr std::size_t k_central_bytes = 46;
inline constexpr std::size_t k_end_bytes = 22;
inline constexpr std::size_t k_end64_bytes = 56;
inline constexpr std::size_t k_locator_bytes = 20;
inline constexpr std::size_t k_max_comment_bytes = 0xFFFF;
/// The end records with the longest comment.
inline constexpr std::size_t k_max_end_bytes =
    k_end64_bytes + k_locator_bytes + k_end_bytes + k_max_comment_bytes;

inline constexpr std::uint16_t k_flag_encrypted = 1U << 0U;
inline constexpr std::uint16_t k_flag_descriptor = 1U << 3U;
inline constexpr std::uint16_t k_flag_utf8 = 1U << 11U;

inline constexpr std::uint16_t k_extra_zip64 = 0x0001;

inline constexpr std::uint32_t k_in_zip64 = 0xFFFFFFFF;
inline constexpr std::uint16_t k_count_in_zip64 = 0xFFFF;

std::uint16_t get16(Bytes bytes, std::size_t offset);
std::uint32_t get32(Bytes bytes, std::size_t offset);
std::uint64_t get64(Bytes bytes, std::size_t offset);
void put16(std::string& out, std::uint64_t value);
void put32(std::string& out, std::uint64_t value);
void put64(std::string& out, std::uint64_t value);

/// Where the central directory lies, as the end records say.
struct EndRecord {
  std::uint64_t directory_offset = 0;
  std::uint64_t directory_bytes = 0;
  std::uint64_t entries = 0;
};

/// `tail` is the last bytes of an archive of `size_bytes`: k_max_end_bytes of them,
/// or all.  The end records must follow the directory at once, the comment must
/// end with the archive, and one disk must hold it all.
EndRecord parse_end(Bytes tail, std::uint64_t size_bytes, const std::string& subject);

/// One file of the central directory, its ZIP64 values resolved.
struct CentralEntry {
  /// As it stands in the archive; points into the directory's bytes.
  std::string_view raw_name;
  /// To extract: major times ten, plus minor.
  std::uint8_t version_needed = 0;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t local_offset = 0;
  /// File type and attributes: the upper half is Unix's mode.
  std::uint32_t external_attributes = 0;
};

/// The entries of a central directory, in the order of their local headers.  Holds four
/// bytes of each; an entry is parsed anew when it is asked for.
class Directory {
 public:
  /// `bytes` must outlive it.
  Directory(Bytes bytes, const EndRecord& end, const std::string& subject);
  std::size_t size() const { return offsets_.size(); }
  CentralEntry operator[](std::size_t index) const;

 private:
  Bytes bytes_;
  std::vector<std::uint32_t> offsets_;
};

/// A local header.
struct LocalHeader {
  std::string raw_name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
  /// Name and extra field included: the data follows.
  std::uint64_t header_bytes = 0;
};

/// Bytes of the local header whose first k_local_bytes are given.
std::size_t local_header_bytes(Bytes start);

/// `bytes` is the whole header.
LocalHeader parse_local(Bytes bytes, const std::string& subject);

/// Throws where the two disagree in what a reader goes by.
void check_local(const LocalHeader& local, const CentralEntry& entry, const std::string& subject);

/// Whether `bytes`, all that stands between a member's data and what follows, is
/// a data descriptor with the entry's values: with or without its signature,
/// with 32-bit or 64-bit sizes.
bool is_descriptor(Bytes bytes, const CentralEntry& entry);

/// The name as zipfile, and so NumPy, decodes it: CP437 without the UTF-8 flag.
std::string decode_name(std::string_view raw_name, std::uint16_t flags);

/// From which values on ZIP64 forms are written: less, and tests see them in
/// archives of a few bytes.
struct Zip64Thresholds {
  std::uint64_t bytes = k_in_zip64;
  std::uint64_t entries = k_count_in_zip64;
};

/// A member as our writer makes it.
struct NewEntry {
  std::string name;
  std::uint16_t method = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t local_offset = 0;
};

/// The local header at entry.local_offset, padded so that the byte `align_bytes`
/// after it stands at a multiple of 64; without padding where `align_bytes` is 0.
///
/// The padding is an extra field of the id 0x414D ("MA", in no list of APPNOTE's)
/// and zeros, in the local header only: nothing reads it, everything skips it.
std::string format_local(const NewEntry& entry, std::uint64_t align_bytes,
                         const Zip64Thresholds& from);
std::string format_central(const NewEntry& entry, const Zip64Thresholds& from);
std::string format_end(const EndRecord& end, const Zip64Thresholds& from);

}  // namespace mad::zip
