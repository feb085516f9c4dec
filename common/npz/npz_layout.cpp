#include "npz/npz_layout.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "hash/crc32.hpp"

namespace mad {
namespace {

using zip::CentralEntry;

constexpr std::string_view k_suffix = ".npy";

[[noreturn]] void refuse(const char* reason, const std::string& subject, const std::string& what) {
  throw Error(ExitCode::refused, reason, subject, what);
}

bool ends_in_suffix(std::string_view name) {
  return name.size() >= k_suffix.size() && name.substr(name.size() - k_suffix.size()) == k_suffix;
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
  if (!ends_in_suffix(name)) {
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
               format_crc32(entry.external_attributes));
  }
  member.local_header_offset = entry.local_offset;
  member.compressed_bytes = entry.compressed_bytes;
  member.size_bytes = entry.size_bytes;
  member.crc32 = entry.crc32;
  return member;
}

std::string subject_of(const CentralEntry& entry, const std::string& archive) {
  return archive + ": " + printable(zip::decode_name(entry.raw_name, entry.flags));
}

/// The names of all members, sorted: each once, and none that a reader takes for another's.
class Names {
 public:
  Names(const zip::Directory& directory, const std::string& archive)
      : directory_(directory), archive_(archive), sorted_(directory.size()) {
    std::iota(sorted_.begin(), sorted_.end(), 0U);
    std::sort(sorted_.begin(), sorted_.end(), [this](std::uint32_t a, std::uint32_t b) {
      return Name(directory_[a]).text < Name(directory_[b]).text;
    });
  }

  void check() const {
    std::string before;
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const CentralEntry entry = directory_[sorted_[i]];
      const Name name(entry);
      if (i > 0 && name.text == before) {
        refuse("member-duplicate", subject_of(entry, archive_),
               "expected each name once, found it at least twice");
      }
      before = name.text;
      check_key(entry, name.text);
    }
  }

 private:
  /// As its reader sees it; most need no copy.
  struct Name {
    explicit Name(const CentralEntry& entry) : text(entry.raw_name) {
      if (is_ascii(text) || (entry.flags & zip::k_flag_utf8) != 0) return;
      decoded = zip::decode_name(entry.raw_name, entry.flags);
      text = decoded;
    }
    Name(const Name&) = delete;
    Name& operator=(const Name&) = delete;
    std::string decoded;
    std::string_view text;
  };

  static bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }

  /// NumPy looks a key up among the members' whole names first: beside a/x.npy, the key
  /// a/x.npy gives that array and never a/x.npy.npy.
  void check_key(const CentralEntry& entry, std::string_view name) const {
    if (!ends_in_suffix(name)) return;
    const std::string_view key = name.substr(0, name.size() - k_suffix.size());
    if (!ends_in_suffix(key)) return;
    const auto other = std::lower_bound(sorted_.begin(), sorted_.end(), key,
                                        [this](std::uint32_t index, std::string_view wanted) {
                                          return Name(directory_[index]).text < wanted;
                                        });
    if (other == sorted_.end() || Name(directory_[*other]).text != key) return;
    refuse("member-collision", subject_of(entry, archive_),
           "expected no other member named as its key, found " + printable(key) +
               ", which NumPy reads in its place");
  }

  const zip::Directory& directory_;
  const std::string& archive_;
  std::vector<std::uint32_t> sorted_;
};

/// Where a member's data and, where there is one, its data descriptor end.
std::uint64_t end_of_data(const CentralEntry& entry, const zip::LocalHeader& local,
                          std::uint64_t next, MemberRecords& records, const std::string& subject) {
  const std::uint64_t data_offset = entry.local_offset + local.header_bytes;
  if (data_offset > next || entry.compressed_bytes > next - data_offset) {
    refuse("archive-invalid", subject,
           "expected its " + std::to_string(entry.compressed_bytes) +
               " bytes to end before what follows at offset " + std::to_string(next) +
               ", found that they overlap");
  }
  const std::uint64_t end = data_offset + entry.compressed_bytes;
  if ((entry.flags & zip::k_flag_descriptor) == 0) return end;
  constexpr std::array<std::uint64_t, 4> k_lengths = {12, 16, 20, 24};
  const std::uint64_t length = next - end;
  if (std::find(k_lengths.begin(), k_lengths.end(), length) == k_lengths.end() ||
      !zip::is_descriptor(as_bytes(records.between(end, static_cast<std::size_t>(length))),
                          entry)) {
    refuse("archive-invalid", subject,
           "expected a data descriptor that agrees with the directory, found " +
               std::to_string(length) + " other bytes after its data");
  }
  return next;
}

/// Holds the local headers against the directory; every byte before it belongs to
/// one member.  Returns the length of each local header.
std::vector<std::uint32_t> check_locals(const zip::Directory& directory, const zip::EndRecord& end,
                                        MemberRecords& records, const std::string& archive) {
  std::vector<std::uint32_t> header_bytes;
  header_bytes.reserve(directory.size());
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < directory.size(); ++i) {
    const CentralEntry entry = directory[i];
    const std::string subject = subject_of(entry, archive);
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
        i + 1 < directory.size() ? directory[i + 1].local_offset : end.directory_offset;
    position = end_of_data(entry, local, next, records, subject);
    header_bytes.push_back(static_cast<std::uint32_t>(local.header_bytes));
  }
  if (position != end.directory_offset) {
    refuse("archive-invalid", archive,
           "expected the directory at offset " + std::to_string(position) +
               ", where the last member ends, found it at " + std::to_string(end.directory_offset));
  }
  return header_bytes;
}

}  // namespace

std::string member_subject(const std::string& subject, const NpzMember& member) {
  return subject + ": " + printable(member.key) + std::string(k_suffix);
}

void check_crc(std::uint32_t expected, std::uint32_t found, const std::string& subject) {
  if (expected == found) return;
  refuse(
      "member-crc", subject,
      "CRC-32 mismatch\narchive: " + format_crc32(expected) + "\ndata:    " + format_crc32(found));
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

void check_header_limits(const NpyHeaders& headers, const NpzLimits& limits,
                         const std::string& subject) {
  if (headers.held_bytes() <= limits.max_header_bytes) return;
  refuse("too-large", subject,
         "bytes of all dtypes and shapes: expected at most " +
             std::to_string(limits.max_header_bytes) + ", found more");
}

NpzMembers audit_members(Bytes directory_bytes, const zip::EndRecord& end, const NpzLimits& limits,
                         MemberRecords& records, const std::string& subject) {
  const zip::Directory directory(directory_bytes, end, subject);
  const std::vector<std::uint32_t> local_header_bytes =
      check_locals(directory, end, records, subject);
  Names(directory, subject).check();
  NpzMembers members;
  std::uint64_t unpacked_bytes = 0;
  for (std::size_t i = 0; i < directory.size(); ++i) {
    const CentralEntry entry = directory[i];
    NpzMember member = check_entry(entry, subject);
    member.data_offset = entry.local_offset + local_header_bytes[i];
    const std::string about = member_subject(subject, member);
    if (entry.size_bytes > limits.max_bytes - unpacked_bytes) {
      refuse("too-large", about,
             "bytes of all arrays, unpacked: expected at most " + std::to_string(limits.max_bytes) +
                 ", found " + std::to_string(entry.size_bytes) + " here after " +
                 std::to_string(unpacked_bytes));
    }
    unpacked_bytes += entry.size_bytes;
    member.header = records.npy(i, member, about);
    if (member.header.data_bytes > member.size_bytes ||
        member.header.header_bytes != member.size_bytes - member.header.data_bytes) {
      refuse("npy-size", about,
             "expected " + std::to_string(member.header.header_bytes) + " bytes of header and " +
                 std::to_string(member.header.data_bytes) + " of data (" + member.header.descr +
                 ", shape " + format_shape(member.header.shape) + "), found " +
                 std::to_string(member.size_bytes) + " bytes in all");
    }
    members.push_back(member);
    check_header_limits(members.headers(), limits, about);
  }
  return members;
}

}  // namespace mad
