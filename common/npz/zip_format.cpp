#include "npz/zip_format.hpp"

#include <algorithm>
#include <functional>

#include "base/error.hpp"
#include "hash/crc32.hpp"

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

/// Where an extra field or a header stands, for errors alone: most archives have none.
using Place = std::function<std::string()>;

/// The ZIP64 field, where there is one.
struct Zip64 {
  bool present = false;
  Bytes data;
};

/// Refuses a second name (Info-ZIP's, id 0x7075) unless it is the one that stands in the
/// header: newer readers, Python 3.13's among them, go by it, others do not.
void check_second_name(Bytes data, std::string_view raw_name, std::uint16_t flags,
                       const Place& place) {
  constexpr std::size_t k_start_bytes = 5;
  const std::string name = decode_name(raw_name, flags);
  if (data.size() < k_start_bytes || data[0] != std::byte{1} ||
      get32(data, 1) != crc32(0, as_bytes(raw_name)) ||
      as_text(data.subspan(k_start_bytes)) != name) {
    invalid_zip(place(), "extra field: expected no second name (id 0x7075) but " + printable(name) +
                             ", found something else");
  }
}

/// Refuses what would give a member another name, key or size than the one checked here.
Zip64 read_extras(Bytes extra, std::string_view raw_name, std::uint16_t flags, const Place& place) {
  constexpr std::uint16_t k_unicode_path = 0x7075;
  constexpr std::uint16_t k_strong_encryption = 0x0017;
  constexpr std::uint16_t k_aes = 0x9901;
  Zip64 zip64;
  bool second_name = false;
  while (!extra.empty()) {
    if (extra.size() < 4 || get16(extra, 2) > extra.size() - 4) {
      invalid_zip(place(), "extra field: expected an id, a length and as many bytes, found " +
                               std::to_string(extra.size()) + " bytes left");
    }
    const std::uint16_t id = get16(extra, 0);
    const Bytes data = extra.subspan(4, get16(extra, 2));
    extra = extra.subspan(4 + data.size());
    if (id == k_strong_encryption || id == k_aes) {
      throw Error(ExitCode::refused, "member-encrypted", place(),
                  "expected a plain member, found an extra field of an encrypted one");
    }
    if (id == k_unicode_path) {
      if (second_name) invalid_zip(place(), "extra field: found two second names (id 0x7075)");
      second_name = true;
      check_second_name(data, raw_name, flags, place);
    }
    if (id == k_extra_zip64) {
      if (zip64.present) invalid_zip(place(), "extra field: found two ZIP64 fields");
      zip64 = {true, data};
    }
  }
  return zip64;
}

/// Takes the next 8 bytes of the ZIP64 field in place of 0xFFFFFFFF.
void take64(std::uint64_t& value, Bytes& data, const Place& place) {
  if (data.size() < 8) {
    invalid_zip(place(),
                "ZIP64 field: expected 8 more bytes, found " + std::to_string(data.size()));
  }
  value = get64(data, 0);
  data = data.subspan(8);
}

/// Of the entry whose fixed part is at the start of `start`.
std::size_t central_bytes(Bytes start) {
  return k_central_bytes + get16(start, 28) + get16(start, 30) + get16(start, 32);
}

/// `bytes` is the whole entry.
CentralEntry parse_central(Bytes bytes, const std::string& archive) {
  const std::size_t name_bytes = get16(bytes, 28);
  CentralEntry entry;
  entry.version_needed = std::to_integer<std::uint8_t>(bytes[6]);
  entry.flags = get16(bytes, 8);
  entry.method = get16(bytes, 10);
  entry.crc32 = get32(bytes, 16);
  entry.compressed_bytes = get32(bytes, 20);
  entry.size_bytes = get32(bytes, 24);
  entry.external_attributes = get32(bytes, 38);
  entry.local_offset = get32(bytes, 42);
  entry.raw_name = as_text(bytes.subspan(k_central_bytes, name_bytes));
  const Place place = [&] {
    return archive + ": " + printable(decode_name(entry.raw_name, entry.flags)) + ": directory";
  };
  if (get16(bytes, 34) != 0) invalid_zip(place(), disagree("disk", 0, get16(bytes, 34)));
  const Bytes extra = bytes.subspan(k_central_bytes + name_bytes, get16(bytes, 30));
  Zip64 zip64 = read_extras(extra, entry.raw_name, entry.flags, place);
  if (entry.size_bytes == k_in_zip64) take64(entry.size_bytes, zip64.data, place);
  if (entry.compressed_bytes == k_in_zip64) take64(entry.compressed_bytes, zip64.data, place);
  if (entry.local_offset == k_in_zip64) take64(entry.local_offset, zip64.data, place);
  // Some writers give more than was asked for, some readers go by it.
  for (; zip64.data.size() >= 8; zip64.data = zip64.data.subspan(8)) {
    const std::uint64_t value = get64(zip64.data, 0);
    if (value == 0 || value == entry.size_bytes || value == entry.compressed_bytes ||
        value == entry.local_offset) {
      continue;
    }
    invalid_zip(place(), "ZIP64 field: expected the sizes and the offset of the entry, found " +
                             std::to_string(value));
  }
  return entry;
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
  constexpr std::string_view k_signature = "PK\5\6";
  // As zipfile looks for it: at the end, without a comment, else the last one that there is.
  std::size_t at = tail.size() - k_end_bytes;
  if (text.substr(at, 4) != k_signature || get16(tail, tail.size() - 2) != 0) {
    at = text.rfind(k_signature);
  }
  if (at == std::string_view::npos || tail.size() - at < k_end_bytes) {
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

Directory::Directory(Bytes bytes, const EndRecord& end, const std::string& subject)
    : bytes_(bytes) {
  struct Listed {
    std::uint64_t local_offset;
    std::uint32_t offset;
  };
  std::vector<Listed> listed;
  // What the record claims is bounded by what the bytes can hold.
  listed.reserve(static_cast<std::size_t>(
      std::min<std::uint64_t>(end.entries, bytes.size() / k_central_bytes)));
  for (std::size_t offset = 0; offset < bytes.size();) {
    const Bytes rest = bytes.subspan(offset);
    if (rest.size() < k_central_bytes || get32(rest, 0) != k_central_signature) {
      invalid_zip(subject, "directory: expected entry " + std::to_string(listed.size() + 1) +
                               ", found something else in its last " + std::to_string(rest.size()) +
                               " bytes");
    }
    const std::size_t length = central_bytes(rest);
    if (length > rest.size()) {
      invalid_zip(subject, "directory: entry " + std::to_string(listed.size() + 1) + ": expected " +
                               std::to_string(length) + " bytes, found " +
                               std::to_string(rest.size()));
    }
    const CentralEntry entry = parse_central(rest.first(length), subject);
    listed.push_back({entry.local_offset, static_cast<std::uint32_t>(offset)});
    offset += length;
  }
  if (listed.size() != end.entries) {
    invalid_zip(subject, disagree("end record: entries", listed.size(), end.entries));
  }
  std::stable_sort(listed.begin(), listed.end(), [](const Listed& a, const Listed& b) {
    return a.local_offset < b.local_offset;
  });
  offsets_.reserve(listed.size());
  for (const Listed& entry : listed) offsets_.push_back(entry.offset);
}

CentralEntry Directory::operator[](std::size_t index) const {
  const Bytes rest = bytes_.subspan(offsets_[index]);
  return parse_central(rest.first(central_bytes(rest)), {});
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
  const Place place = [&] { return subject + ": local header"; };
  const Zip64 zip64 =
      read_extras(bytes.subspan(k_local_bytes + name_bytes), local.raw_name, local.flags, place);
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
  take64(size_bytes, wide, place);
  take64(compressed_bytes, wide, place);
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
