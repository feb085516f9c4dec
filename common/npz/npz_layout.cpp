#include "npz/npz_layout.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace mad {
namespace {

using zip::CentralEntry;

constexpr std::string_view k_suffix = ".npy";

[[noreturn]] void refuse(const char* reason, const std::string& subject, const std::string& what) {
  throw Error(ExitCode::refused, reason, subject, what);
}

std::string hex32(std::uint32_t value) {
  constexpr std::string_view k_digits = "0123456789abcdef";
  std::string text;
  for (unsigned shift = 32; shift > 0;) {
    shift -= 4;
    text += k_digits[value >> shift & 15U];
  }
  return text;
}

/// What the directory alone says of one member.
NpzMember check_entry(const CentralEntry& entry, const std::string& archive) {
  constexpr std::uint16_t k_encryption_flags = zip::k_flag_encrypted | 1U << 6U | 1U << 13U;
  constexpr std::uint16_t k_deflate_option_flags = 3U << 1U;
  constexpr std::uint16_t k_known_flags =
      zip::k_flag_descriptor | zip::k_flag_utf8 | k_deflate_option_flags;
  constexpr std::uint16_t k_method_aes = 99;
  // zipfile refuses the whole archive for more.
  constexpr unsigned k_max_version = 63;
  constexpr std::uint32_t k_dos_directory_or_label = 0x18;

  std::string name = zip::decode_name(entry.raw_name, entry.flags);
  const std::string subject = archive + ": " + printable(name);
  NpzMember member;
  if (name.size() < k_suffix.size() ||
      name.compare(name.size() - k_suffix.size(), k_suffix.size(), k_suffix) != 0) {
    refuse("member-name", subject,
           "expected a member named NODE/FIELD.npy, found one without .npy");
  }
  name.resize(name.size() - k_suffix.size());
  member.key = std::move(name);
  if (const std::string defect = key_defect(member.key); !defect.empty()) {
    refuse("member-name", subject, "expected a member named NODE/FIELD.npy, but " + defect);
  }
  if ((entry.flags & k_encryption_flags) != 0 || entry.method == k_method_aes) {
    refuse("member-encrypted", subject, "expected a plain member, found an encrypted one");
  }
  if ((entry.flags & static_cast<std::uint16_t>(~k_known_flags)) != 0) {
    refuse("archive-invalid", subject,
           "directory: expected no flags but 1, 2, 3 and 11, found " + std::to_string(entry.flags));
  }
  if (entry.version_needed > k_max_version) {
    refuse("member-method", subject,
           "expected a version needed of at most " + std::to_string(k_max_version) +
               " (6.3), found " + std::to_string(entry.version_needed));
  }
  if (entry.method != 0 && entry.method != 8) {
    refuse("member-method", subject,
           "expected compression method 0 (stored) or 8 (deflated), found " +
               std::to_string(entry.method));
  }
  member.method = static_cast<NpzMethod>(entry.method);
  const std::uint32_t type = entry.external_attributes >> 16U & S_IFMT;
  if ((type != 0 && type != S_IFREG) ||
      (entry.external_attributes & k_dos_directory_or_label) != 0) {
    refuse("archive-invalid", subject,
           "directory: attributes: expected a regular file, found 0x" +
               hex32(entry.external_attributes));
  }
  member.local_header_offset = entry.local_offset;
  member.compressed_bytes = entry.compressed_bytes;
  member.size_bytes = entry.size_bytes;
  member.crc32 = entry.crc32;
  return member;
}

void check_distinct(const std::vector<NpzMember>& members, const std::string& archive) {
  std::vector<const NpzMember*> sorted;
  sorted.reserve(members.size());
  for (const NpzMember& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(),
            [](const NpzMember* a, const NpzMember* b) { return a->key < b->key; });
  const auto twice =
      std::adjacent_find(sorted.begin(), sorted.end(),
                         [](const NpzMember* a, const NpzMember* b) { return a->key == b->key; });
  if (twice != sorted.end()) {
    refuse("member-duplicate", member_subject(archive, **twice),
           "expected each name once, found it at least twice");
  }
}

/// Where a member's local header and data lie.
struct Extent {
  std::uint64_t data_offset = 0;
  /// Of its data and, where there is one, its data descriptor.
  std::uint64_t end = 0;
};

Extent check_extent(const CentralEntry& entry, const zip::LocalHeader& local, std::uint64_t next,
                    MemberRecords& records, const std::string& subject) {
  Extent extent;
  extent.data_offset = entry.local_offset + local.header_bytes;
  if (extent.data_offset > next || entry.compressed_bytes > next - extent.data_offset) {
    refuse("archive-invalid", subject,
           "expected its " + std::to_string(entry.compressed_bytes) +
               " bytes to end before what follows at offset " + std::to_string(next) +
               ", found that they overlap");
  }
  extent.end = extent.data_offset + entry.compressed_bytes;
  if ((entry.flags & zip::k_flag_descriptor) == 0) return extent;
  constexpr std::array<std::uint64_t, 4> k_lengths = {12, 16, 20, 24};
  const std::uint64_t length = next - extent.end;
  if (std::find(k_lengths.begin(), k_lengths.end(), length) == k_lengths.end() ||
      !zip::is_descriptor(as_bytes(records.between(extent.end, static_cast<std::size_t>(length))),
                          entry)) {
    refuse("archive-invalid", subject,
           "expected a data descriptor that agrees with the directory, found " +
               std::to_string(length) + " other bytes after its data");
  }
  extent.end = next;
  return extent;
}

/// Holds the local headers against the directory; every byte before it belongs to
/// one member.  Returns the offset of each member's data.
std::vector<std::uint64_t> check_locals(const std::vector<CentralEntry>& entries,
                                        const zip::EndRecord& end, MemberRecords& records,
                                        const std::string& archive) {
  std::vector<std::uint64_t> data_offsets;
  data_offsets.reserve(entries.size());
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const CentralEntry& entry = entries[i];
    const std::string subject =
        archive + ": " + printable(zip::decode_name(entry.raw_name, entry.flags));
    if (entry.local_offset != position) {
      refuse("archive-invalid", subject,
             "expected its local header at offset " + std::to_string(position) +
                 ", where the bytes before it end, found " + std::to_string(entry.local_offset));
    }
    const zip::LocalHeader local = records.local(i, entry, subject);
    zip::check_local(local, entry, subject);
    // Here, lest what comes after it is blamed for standing elsewhere.
    if (entry.method == 0 && entry.compressed_bytes != entry.size_bytes) {
      refuse("archive-invalid", subject,
             "directory: stored, so expected a compressed size of " +
                 std::to_string(entry.size_bytes) + ", found " +
                 std::to_string(entry.compressed_bytes));
    }
    const std::uint64_t next =
        i + 1 < entries.size() ? entries[i + 1].local_offset : end.directory_offset;
    const Extent extent = check_extent(entry, local, next, records, subject);
    data_offsets.push_back(extent.data_offset);
    position = extent.end;
  }
  if (position != end.directory_offset) {
    refuse("archive-invalid", archive,
           "expected the directory at offset " + std::to_string(position) +
               ", where the last member ends, found it at " + std::to_string(end.directory_offset));
  }
  return data_offsets;
}

}  // namespace

std::string member_subject(const std::string& subject, const NpzMember& member) {
  return subject + ": " + printable(member.key) + std::string(k_suffix);
}

void check_crc(std::uint32_t expected, std::uint32_t found, const std::string& subject) {
  if (expected == found) return;
  refuse("member-crc", subject,
         "CRC-32 mismatch\narchive: " + hex32(expected) + "\ndata:    " + hex32(found));
}

void check_limits(const zip::EndRecord& end, std::uint64_t size_bytes, const NpzLimits& limits,
                  const std::string& subject) {
  const auto hold = [&](const char* what, std::uint64_t most, std::uint64_t found) {
    if (found <= most) return;
    refuse("too-large", subject,
           std::string(what) + ": expected at most " + std::to_string(most) + ", found " +
               std::to_string(found));
  };
  hold("bytes of the archive", limits.max_bytes, size_bytes);
  hold("bytes of the directory", limits.max_directory_bytes, end.directory_bytes);
  hold("members", limits.max_members, end.entries);
}

std::vector<NpzMember> audit_members(Bytes directory, const zip::EndRecord& end,
                                     const NpzLimits& limits, MemberRecords& records,
                                     const std::string& subject) {
  std::vector<CentralEntry> entries = zip::parse_directory(directory, end, subject);
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const CentralEntry& a, const CentralEntry& b) { return a.local_offset < b.local_offset; });
  const std::vector<std::uint64_t> data_offsets = check_locals(entries, end, records, subject);
  std::vector<NpzMember> members;
  members.reserve(entries.size());
  std::uint64_t unpacked_bytes = 0;
  for (const CentralEntry& entry : entries) {
    members.push_back(check_entry(entry, subject));
    members.back().data_offset = data_offsets[members.size() - 1];
    if (entry.size_bytes > limits.max_bytes - unpacked_bytes) {
      refuse("too-large", member_subject(subject, members.back()),
             "bytes of all arrays, unpacked: expected at most " + std::to_string(limits.max_bytes) +
                 ", found " + std::to_string(entry.size_bytes) + " here after " +
                 std::to_string(unpacked_bytes));
    }
    unpacked_bytes += entry.size_bytes;
  }
  check_distinct(members, subject);

  std::uint64_t header_text_bytes = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    NpzMember& member = members[i];
    const std::string about = member_subject(subject, member);
    member.header = records.npy(i, member, about);
    if (member.header.data_bytes > member.size_bytes ||
        member.header.header_bytes != member.size_bytes - member.header.data_bytes) {
      refuse("npy-size", about,
             "expected " + std::to_string(member.header.header_bytes) + " bytes of header and " +
                 std::to_string(member.header.data_bytes) + " of data (" + member.header.descr +
                 ", shape " + format_shape(member.header.shape) + "), found " +
                 std::to_string(member.size_bytes) + " bytes in all");
    }
    header_text_bytes += member.header.descr.size();
    if (header_text_bytes > limits.max_directory_bytes) {
      refuse("too-large", about,
             "bytes of all dtypes: expected at most " + std::to_string(limits.max_directory_bytes) +
                 ", found more");
    }
  }
  return members;
}

}  // namespace mad
