#include "npz/zip_format.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace mad::zip {
namespace {

/// IBM's code page 437, its upper half.
constexpr std::u32string_view k_cp437 =
    U"ÇüéâäàåçêëèïîìÄÅ"
    U"ÉæÆôöòûùÿÖÜ¢£¥₧ƒ"
    U"áíóúñÑªº¿⌐¬½¼¡«»"
    U"░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
    U"└┴┬├─┼╞╟╚╔╩╦╠═╬╧"
    U"╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
    U"αßΓπΣσµτΦΘΩδ∞φε∩"
    U"≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0";

[[noreturn]] void invalid_zip(const std::string& subject, const std::string& what,
                              const std::string& hint = {}) {
  throw Error(ExitCode::refused, "archive-invalid", subject, what, hint);
}

std::string disagree(std::string_view field, std::uint64_t expected, std::uint64_t found) {
  return std::string(field) + ": expected " + std::to_string(expected) + ", found " +
         std::to_string(found);
}

/// Calls `visit(id, data)` for each extra field.
template <class Visit>
void for_each_extra(Bytes extra, const std::string& subject, Visit visit) {
  while (!extra.empty()) {
    if (extra.size() < 4 || get16(extra, 2) > extra.size() - 4) {
      invalid_zip(subject, "extra field: expected an id, a length and as many bytes, found " +
                               std::to_string(extra.size()) + " bytes left");
    }
    const std::size_t length = get16(extra, 2);
    visit(get16(extra, 0), extra.subspan(4, length));
    extra = extra.subspan(4 + length);
  }
}

/// The ZIP64 field, where there is one; refuses what would give a member another
/// name or key than the one checked here.
struct Zip64 {
  bool present = false;
  Bytes data;
};

Zip64 read_extras(Bytes extra, const std::string& subject) {
  constexpr std::uint16_t k_unicode_path = 0x7075;
  constexpr std::uint16_t k_strong_encryption = 0x0017;
  constexpr std::uint16_t k_aes = 0x9901;
  Zip64 zip64;
  for_each_extra(extra, subject, [&](std::uint16_t id, Bytes data) {
    if (id == k_unicode_path) invalid_zip(subject, "extra field: found a second name (id 0x7075)");
    if (id == k_strong_encryption || id == k_aes) {
      throw Error(ExitCode::refused, "member-encrypted", subject,
                  "expected a plain member, found an extra field of an encrypted one");
    }
    if (id != k_extra_zip64) return;
    if (zip64.present) invalid_zip(subject, "extra field: found two ZIP64 fields");
    zip64 = {true, data};
  });
  return zip64;
}

/// Takes the next 8 bytes of the ZIP64 field in place of 0xFFFFFFFF.
void take64(std::uint64_t& value, Bytes& data, const std::string& subject) {
  if (data.size() < 8) {
    invalid_zip(subject,
                "ZIP64 field: expected 8 more bytes, found " + std::to_string(data.size()));
  }
  value = get64(data, 0);
  data = data.subspan(8);
}

/// A field of the plain end record beside its ZIP64 twin.
std::uint64_t join(std::uint64_t plain, std::uint64_t mask, std::uint64_t wide,
                   std::string_view field, const std::string& subject) {
  if (plain != mask && plain != wide) {
    invalid_zip(subject,
                disagree(std::string("end record against its ZIP64 form: ") + std::string(field),
                         wide, plain));
  }
  return wide;
}

}  // namespace

std::uint16_t get16(Bytes bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[offset]) |
                                    std::to_integer<unsigned>(bytes[offset + 1]) << 8U);
}

std::uint32_t get32(Bytes bytes, std::size_t offset) {
  return get16(bytes, offset) | static_cast<std::uint32_t>(get16(bytes, offset + 2)) << 16U;
}

std::uint64_t get64(Bytes bytes, std::size_t offset) {
  return get32(bytes, offset) | static_cast<std::uint64_t>(get32(bytes, offset + 4)) << 32U;
}

void put16(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 2; ++i, value >>= 8U) out += static_cast<char>(value & 0xFFU);
}
void put32(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 4; ++i, value >>= 8U) out += static_cast<char>(value & 0xFFU);
}
void put64(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8U) out += static_cast<char>(value & 0xFFU);
}

EndRecord parse_end(Bytes tail, std::uint64_t size_bytes, const std::string& subject) {
  const std::string_view text = as_text(tail);
  if (tail.size() < k_end_bytes) {
    invalid_zip(subject, "expected a ZIP archive of at least 22 bytes, found " +
                             std::to_string(tail.size()));
  }
  // The last one, as zipfile looks for it.
  const std::size_t at = text.rfind("PK\5\6", tail.size() - k_end_bytes);
  if (at == std::string_view::npos) {
    invalid_zip(subject, "expected a ZIP end record at the archive's end, found none",
                "the archive is cut short, or no npz");
  }
  const Bytes end = tail.subspan(at);
  const std::uint64_t end_offset = size_bytes - tail.size() + at;
  if (get16(end, 20) != end.size() - k_end_bytes) {
    invalid_zip(subject, disagree("end record: length of the archive's comment",
                                  end.size() - k_end_bytes, get16(end, 20)));
  }
  EndRecord record;
  record.entries = get16(end, 10);
  record.directory_bytes = get32(end, 12);
  record.directory_offset = get32(end, 16);
  if (get16(end, 4) != 0 || get16(end, 6) != 0) {
    invalid_zip(subject, "end record: expected an archive on one disk, found several");
  }
  if (get16(end, 8) != get16(end, 10)) {
    invalid_zip(subject,
                disagree("end record: entries on this disk", get16(end, 10), get16(end, 8)));
  }
  std::uint64_t directory_end = end_offset;
  if (at >= k_locator_bytes && get32(tail, at - k_locator_bytes) == k_locator_signature) {
    const Bytes locator = tail.subspan(at - k_locator_bytes, k_locator_bytes);
    if (at < k_locator_bytes + k_end64_bytes ||
        get32(tail, at - k_locator_bytes - k_end64_bytes) != k_end64_signature) {
      invalid_zip(subject, "expected the ZIP64 end record before its locator, found none");
    }
    const Bytes end64 = tail.subspan(at - k_locator_bytes - k_end64_bytes, k_end64_bytes);
    directory_end = end_offset - k_locator_bytes - k_end64_bytes;
    if (get64(locator, 8) != directory_end) {
      invalid_zip(subject, disagree("ZIP64 locator: offset of the ZIP64 end record", directory_end,
                                    get64(locator, 8)));
    }
    if (get64(end64, 4) != k_end64_bytes - 12) {
      invalid_zip(subject,
                  disagree("ZIP64 end record: its length", k_end64_bytes - 12, get64(end64, 4)));
    }
    if (get32(locator, 4) != 0 || get32(locator, 16) > 1 || get32(end64, 16) != 0 ||
        get32(end64, 20) != 0) {
      invalid_zip(subject, "ZIP64 end record: expected an archive on one disk, found several");
    }
    if (get64(end64, 24) != get64(end64, 32)) {
      invalid_zip(subject, disagree("ZIP64 end record: entries on this disk", get64(end64, 32),
                                    get64(end64, 24)));
    }
    record.entries = join(record.entries, k_count_in_zip64, get64(end64, 32), "entries", subject);
    record.directory_bytes = join(record.directory_bytes, k_in_zip64, get64(end64, 40),
                                  "bytes of the directory", subject);
    record.directory_offset = join(record.directory_offset, k_in_zip64, get64(end64, 48),
                                   "offset of the directory", subject);
  }
  if (record.directory_offset > directory_end ||
      record.directory_bytes != directory_end - record.directory_offset) {
    invalid_zip(subject, "end record: expected the directory to end at offset " +
                             std::to_string(directory_end) + ", found offset " +
                             std::to_string(record.directory_offset) + " and " +
                             std::to_string(record.directory_bytes) + " bytes");
  }
  return record;
}

std::vector<CentralEntry> parse_directory(Bytes directory, const EndRecord& end,
                                          const std::string& subject) {
  std::vector<CentralEntry> entries;
  // What the record claims is bounded by what the bytes can hold.
  entries.reserve(static_cast<std::size_t>(
      std::min<std::uint64_t>(end.entries, directory.size() / k_central_bytes)));
  while (!directory.empty()) {
    if (directory.size() < k_central_bytes || get32(directory, 0) != k_central_signature) {
      invalid_zip(subject, "directory: expected entry " + std::to_string(entries.size() + 1) +
                               ", found something else in its last " +
                               std::to_string(directory.size()) + " bytes");
    }
    const std::size_t name_bytes = get16(directory, 28);
    const std::size_t extra_bytes = get16(directory, 30);
    const std::size_t comment_bytes = get16(directory, 32);
    const std::size_t length = k_central_bytes + name_bytes + extra_bytes + comment_bytes;
    if (length > directory.size()) {
      invalid_zip(subject, "directory: entry " + std::to_string(entries.size() + 1) +
                               ": expected " + std::to_string(length) + " bytes, found " +
                               std::to_string(directory.size()));
    }
    CentralEntry entry;
    entry.version_needed = std::to_integer<std::uint8_t>(directory[6]);
    entry.flags = get16(directory, 8);
    entry.method = get16(directory, 10);
    entry.crc32 = get32(directory, 16);
    entry.compressed_bytes = get32(directory, 20);
    entry.size_bytes = get32(directory, 24);
    entry.external_attributes = get32(directory, 38);
    entry.local_offset = get32(directory, 42);
    entry.raw_name = as_text(directory.subspan(k_central_bytes, name_bytes));
    const std::string about =
        subject + ": " + printable(decode_name(entry.raw_name, entry.flags)) + ": directory";
    if (get16(directory, 34) != 0) invalid_zip(about, disagree("disk", 0, get16(directory, 34)));
    const Zip64 zip64 =
        read_extras(directory.subspan(k_central_bytes + name_bytes, extra_bytes), about);
    Bytes wide = zip64.data;
    if (entry.size_bytes == k_in_zip64) take64(entry.size_bytes, wide, about);
    if (entry.compressed_bytes == k_in_zip64) take64(entry.compressed_bytes, wide, about);
    if (entry.local_offset == k_in_zip64) take64(entry.local_offset, wide, about);
    entries.push_back(entry);
    directory = directory.subspan(length);
  }
  if (entries.size() != end.entries) {
    invalid_zip(subject, disagree("end record: entries", entries.size(), end.entries));
  }
  return entries;
}

std::size_t local_header_bytes(Bytes start) {
  return k_local_bytes + get16(start, 26) + get16(start, 28);
}

LocalHeader parse_local(Bytes bytes, const std::string& subject) {
  if (bytes.size() < k_local_bytes || get32(bytes, 0) != k_local_signature ||
      bytes.size() != local_header_bytes(bytes)) {
    invalid_zip(subject, "expected a local header, found something else");
  }
  LocalHeader local;
  local.flags = get16(bytes, 6);
  local.method = get16(bytes, 8);
  local.crc32 = get32(bytes, 14);
  local.compressed_bytes = get32(bytes, 18);
  local.size_bytes = get32(bytes, 22);
  local.header_bytes = bytes.size();
  const std::size_t name_bytes = get16(bytes, 26);
  local.raw_name = as_text(bytes.subspan(k_local_bytes, name_bytes));
  const Zip64 zip64 = read_extras(bytes.subspan(k_local_bytes + name_bytes), subject);
  const bool masks_size = local.size_bytes == k_in_zip64;
  const bool masks_compressed = local.compressed_bytes == k_in_zip64;
  if (masks_size != masks_compressed) {
    invalid_zip(subject,
                "local header: expected both sizes in the ZIP64 field or neither, found one");
  }
  if (!zip64.present && !masks_size) return local;
  Bytes wide = zip64.data;
  std::uint64_t size_bytes = 0;
  std::uint64_t compressed_bytes = 0;
  take64(size_bytes, wide, subject + ": local header");
  take64(compressed_bytes, wide, subject + ": local header");
  if (masks_size) {
    local.size_bytes = size_bytes;
    local.compressed_bytes = compressed_bytes;
  } else if ((size_bytes != 0 && size_bytes != local.size_bytes) ||
             (compressed_bytes != 0 && compressed_bytes != local.compressed_bytes)) {
    invalid_zip(subject, "local header: expected sizes of " + std::to_string(local.size_bytes) +
                             " and " + std::to_string(local.compressed_bytes) +
                             " in its ZIP64 field too, found " + std::to_string(size_bytes) +
                             " and " + std::to_string(compressed_bytes));
  }
  return local;
}

void check_local(const LocalHeader& local, const CentralEntry& entry, const std::string& subject) {
  const auto hold = [&](std::string_view field, std::uint64_t central, std::uint64_t here) {
    if (central == here) return;
    invalid_zip(subject,
                disagree(std::string("local header against the directory: ") + std::string(field),
                         central, here));
  };
  if (local.raw_name != entry.raw_name) {
    invalid_zip(subject, "local header against the directory: name: expected " +
                             printable(decode_name(entry.raw_name, entry.flags)) + ", found " +
                             printable(decode_name(local.raw_name, local.flags)));
  }
  hold("flags", entry.flags, local.flags);
  hold("method", entry.method, local.method);
  // With a data descriptor the values may be still unknown here.
  const bool later = (entry.flags & k_flag_descriptor) != 0;
  if (!later || local.crc32 != 0) hold("CRC-32", entry.crc32, local.crc32);
  if (!later || local.compressed_bytes != 0) {
    hold("compressed size", entry.compressed_bytes, local.compressed_bytes);
  }
  if (!later || local.size_bytes != 0) hold("size", entry.size_bytes, local.size_bytes);
}

bool is_descriptor(Bytes bytes, const CentralEntry& entry) {
  if (bytes.size() == 16 || bytes.size() == 24) {
    if (get32(bytes, 0) != k_descriptor_signature) return false;
    bytes = bytes.subspan(4);
  }
  if (bytes.size() == 12) {
    return get32(bytes, 0) == entry.crc32 && get32(bytes, 4) == entry.compressed_bytes &&
           get32(bytes, 8) == entry.size_bytes;
  }
  return bytes.size() == 20 && get32(bytes, 0) == entry.crc32 &&
         get64(bytes, 4) == entry.compressed_bytes && get64(bytes, 12) == entry.size_bytes;
}

std::string decode_name(std::string_view raw_name, std::uint16_t flags) {
  if ((flags & k_flag_utf8) != 0) return std::string(raw_name);
  std::string name;
  for (const char c : raw_name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      name += c;
      continue;
    }
    const char32_t code = k_cp437[byte - 0x80U];
    if (code >= 0x800) {
      name += static_cast<char>(0xE0U | code >> 12U);
      name += static_cast<char>(0x80U | (code >> 6U & 63U));
    } else {
      name += static_cast<char>(0xC0U | code >> 6U);
    }
    name += static_cast<char>(0x80U | (code & 63U));
  }
  return name;
}

}  // namespace mad::zip
