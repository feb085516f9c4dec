#include "verify/archive_layout.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/error.hpp"
#include "npz/npz_auditor.hpp"
#include "verify/archive_window.hpp"

namespace mad {
namespace {

constexpr std::string_view k_suffix = ".npy";
constexpr const char* k_header_problem = "its local header is damaged";

/// A member's name as a key, or nothing where it is none.
std::optional<std::string> key_of(std::string_view raw_name, std::uint16_t flags) {
  std::string name = zip::decode_name(raw_name, flags);
  if (name.size() < k_suffix.size() ||
      name.compare(name.size() - k_suffix.size(), k_suffix.size(), k_suffix) != 0) {
    return std::nullopt;
  }
  name.resize(name.size() - k_suffix.size());
  if (!key_defect(name).empty()) return std::nullopt;
  return name;
}

class LayoutReader {
 public:
  LayoutReader(int npz, std::uint64_t size_bytes, const MemberTable* table)
      : window_(npz, size_bytes), table_(table) {
    if (table_ == nullptr) return;
    for (std::size_t i = 0; i < table_->size(); ++i) rows_.emplace((*table_)[i].name, i);
  }

  ArchiveLayout read(std::optional<std::uint64_t> promised_bytes) {
    if (!read_by_directory(promised_bytes) && !read_by_table()) read_by_headers();
    mark_overlaps();
    return std::move(layout_);
  }

 private:
  bool read_by_directory(std::optional<std::uint64_t> promised_bytes) {
    const std::uint64_t size_bytes = window_.size_bytes();
    if (promised_bytes && *promised_bytes < size_bytes && read_directory(*promised_bytes)) {
      return true;
    }
    if (read_directory(size_bytes)) return true;
    const auto end = end_of_archive();
    return end && *end < size_bytes && read_directory(*end);
  }

  /// Where the last end record and its comment end, when more stands behind them.
  std::optional<std::uint64_t> end_of_archive() {
    constexpr std::size_t k_searched_bytes = std::size_t{1} << 20U;
    const std::uint64_t size_bytes = window_.size_bytes();
    const std::uint64_t from = size_bytes - std::min<std::uint64_t>(size_bytes, k_searched_bytes);
    const Bytes tail = window_.view(from, k_searched_bytes);
    if (tail.size() < zip::k_end_bytes) return std::nullopt;
    const auto at = as_text(tail).rfind("PK\5\6", tail.size() - zip::k_end_bytes);
    if (at == std::string_view::npos) return std::nullopt;
    return from + at + zip::k_end_bytes + zip::get16(tail, at + 20);
  }

  bool read_directory(std::uint64_t archive_bytes) {
    try {
      const auto tail_bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(archive_bytes, zip::k_max_end_bytes));
      const zip::EndRecord end = zip::parse_end(
          window_.view(archive_bytes - tail_bytes, tail_bytes), archive_bytes, k_npz_subject);
      if (end.directory_bytes > NpzLimits{}.max_directory_bytes) return false;
      const std::vector<std::byte> bytes =
          window_.read(end.directory_offset, static_cast<std::size_t>(end.directory_bytes));
      take_entries(zip::Directory(bytes, end, k_npz_subject), end);
      layout_.directory_problem.clear();
      layout_.archive_bytes = archive_bytes;
      return true;
    } catch (const Error& error) {
      if (layout_.directory_problem.empty()) layout_.directory_problem = error.message;
      return false;
    }
  }

  void take_entries(const zip::Directory& entries, const zip::EndRecord& end) {
    layout_.source = LayoutSource::directory;
    layout_.directory_offset = end.directory_offset;
    const std::size_t count = std::min(entries.size(), k_max_examined_arrays);
    layout_.more_arrays = entries.size() - count;
    layout_.arrays.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t next =
          i + 1 < entries.size() ? entries[i + 1].local_offset : end.directory_offset;
      layout_.arrays.push_back(record_of(entries[i], next));
    }
  }

  ArrayRecord record_of(const zip::CentralEntry& entry, std::uint64_t next) {
    ArrayRecord record;
    const auto key = key_of(entry.raw_name, entry.flags);
    record.name = key.value_or(zip::decode_name(entry.raw_name, entry.flags));
    record.name_in_doubt = !key;
    if (!key) record.problem = "its name is no NODE/FIELD.npy";
    record.method = entry.method == 8 ? NpzMethod::deflated : NpzMethod::stored;
    record.packed_bytes = entry.compressed_bytes;
    record.size_bytes = entry.size_bytes;
    record.crc32 = entry.crc32;
    record.first_byte = entry.local_offset;
    record.data_offset = entry.local_offset + zip::k_local_bytes + entry.raw_name.size();
    if (const auto local = window_.local_header(entry.local_offset)) {
      record.data_offset = entry.local_offset + local->header_bytes;
      hold_against(record, *local, entry);
    } else {
      record.problem = k_header_problem;
      // It ends where the next one begins, a data descriptor aside.
      if ((entry.flags & zip::k_flag_descriptor) == 0 && next >= record.packed_bytes &&
          next - record.packed_bytes > record.data_offset) {
        record.data_offset = next - record.packed_bytes;
      }
      record.first_byte = record.data_offset;
    }
    take_row(record);
    return record;
  }

  static void hold_against(ArrayRecord& record, const zip::LocalHeader& local,
                           const zip::CentralEntry& entry) {
    try {
      zip::check_local(local, entry, k_npz_subject);
      record.named_by_header = record.problem.empty();
    } catch (const Error& error) {
      record.problem = error.message;
      record.name_in_doubt = record.name_in_doubt || local.raw_name != entry.raw_name;
      if (local.raw_name == entry.raw_name && local.crc32 != entry.crc32) {
        record.local_crc32 = local.crc32;
        record.named_by_header = !record.name_in_doubt && local.method == entry.method &&
                                 local.compressed_bytes == entry.compressed_bytes &&
                                 local.size_bytes == entry.size_bytes;
      }
    }
  }

  /// What the manifest's table says of the array with this name.
  void take_row(ArrayRecord& record) const {
    const auto row_at = rows_.find(record.name);
    if (row_at == rows_.end()) return;
    const TableMember& row = (*table_)[row_at->second];
    const bool same_content =
        row.crc32 == record.crc32 && row.header_bytes + row.size_bytes == record.size_bytes;
    if (!same_content) return;
    if (record.problem == k_header_problem) {
      record.data_offset = record.first_byte = row.first_byte();
    }
    record.named_by_table = row.first_byte() == record.data_offset;
  }

  bool read_by_table() {
    if (table_ == nullptr || table_->empty()) return false;
    bool any_there = false;
    std::vector<ArrayRecord> arrays;
    const std::size_t count = std::min(table_->size(), k_max_examined_arrays);
    arrays.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const TableMember& row = (*table_)[i];
      ArrayRecord record;
      record.name = row.name;
      record.method = row.packed_bytes ? NpzMethod::deflated : NpzMethod::stored;
      record.data_offset = record.first_byte = row.first_byte();
      record.packed_bytes = row.packed_bytes.value_or(row.header_bytes + row.size_bytes);
      record.size_bytes = row.header_bytes + row.size_bytes;
      record.crc32 = row.crc32;
      record.named_by_table = true;
      if (const std::string defect = key_defect(row.name); !defect.empty()) {
        record.problem = "its name: " + defect;
        record.named_by_table = false;
        record.name_in_doubt = true;
      }
      find_header_before(record);
      any_there = any_there || record.named_by_header;
      arrays.push_back(std::move(record));
    }
    if (!any_there) return false;
    layout_.source = LayoutSource::members;
    layout_.arrays = std::move(arrays);
    layout_.more_arrays = table_->size() - count;
    return true;
  }

  void find_header_before(ArrayRecord& record) {
    constexpr std::size_t k_longest_extra = 512;
    const std::size_t most =
        zip::k_local_bytes + record.name.size() + k_suffix.size() + k_longest_extra;
    const std::uint64_t from =
        record.data_offset - std::min<std::uint64_t>(record.data_offset, most);
    const std::vector<std::byte> before =
        window_.read(from, static_cast<std::size_t>(record.data_offset - from));
    const std::string_view text = as_text(before);
    for (auto at = text.rfind("PK\3\4"); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : text.rfind("PK\3\4", at - 1)) {
      const auto local = window_.local_header(from + at);
      if (!local || from + at + local->header_bytes != record.data_offset) continue;
      record.first_byte = from + at;
      record.named_by_header = key_of(local->raw_name, local->flags) == record.name;
      return;
    }
  }

  void read_by_headers() {
    std::uint64_t position = 0;
    while (position < window_.size_bytes()) {
      const Bytes start = window_.view(position, 4);
      if (start.size() == 4 && zip::get32(start, 0) == zip::k_central_signature) {
        layout_.directory_offset = position;
        break;
      }
      const auto local = window_.local_header(position);
      const auto key = local ? key_of(local->raw_name, local->flags) : std::nullopt;
      if (!key) {
        const auto next = window_.find_local_signature(position + 1);
        if (!next) break;
        position = *next;
        continue;
      }
      if (layout_.arrays.size() == k_max_examined_arrays) {
        ++layout_.more_arrays;
        break;
      }
      layout_.arrays.push_back(record_of(*key, *local, position));
      position = follow(layout_.arrays.back());
    }
    if (!layout_.arrays.empty()) layout_.source = LayoutSource::headers;
  }

  ArrayRecord record_of(const std::string& key, const zip::LocalHeader& local,
                        std::uint64_t position) {
    ArrayRecord record;
    record.name = key;
    record.method = local.method == 8 ? NpzMethod::deflated : NpzMethod::stored;
    record.first_byte = position;
    record.data_offset = position + local.header_bytes;
    record.packed_bytes = local.compressed_bytes;
    record.size_bytes = local.size_bytes;
    record.named_by_header = true;
    const bool has_descriptor = (local.flags & zip::k_flag_descriptor) != 0;
    if (!has_descriptor) record.crc32 = local.crc32;
    if (record.method == NpzMethod::stored) {
      take_npy_size(record, has_descriptor);
    } else if (has_descriptor) {
      const auto next = window_.find_local_signature(record.data_offset);
      record.packed_bytes = next.value_or(window_.size_bytes()) - record.data_offset;
      record.problem = "its length stood in the directory only";
    }
    return record;
  }

  /// A stored array says itself how long it is.
  void take_npy_size(ArrayRecord& record, bool has_descriptor) {
    std::uint64_t size_bytes = 0;
    try {
      const std::size_t needed =
          npy_header_bytes_needed(window_.view(record.data_offset, k_npy_preamble_bytes));
      const NpyHeader header =
          parse_npy_header(window_.view(record.data_offset, needed), record.name);
      size_bytes = header.header_bytes + header.data_bytes;
    } catch (const Error& error) {
      record.problem = error.message;
      if (has_descriptor) record.packed_bytes = record.size_bytes = 0;
      return;
    }
    if (!has_descriptor && record.size_bytes != size_bytes) {
      record.problem = "its local header gives " + std::to_string(record.size_bytes) +
                       " bytes, its .npy header " + std::to_string(size_bytes);
    }
    record.packed_bytes = record.size_bytes = size_bytes;
    if (!has_descriptor) return;
    const Bytes descriptor = window_.view(record.end_byte(), 8);
    if (descriptor.size() == 8 && zip::get32(descriptor, 0) == zip::k_descriptor_signature) {
      record.crc32 = zip::get32(descriptor, 4);
    }
  }

  /// Where the next record is to be looked for.
  std::uint64_t follow(const ArrayRecord& record) {
    const std::uint64_t end = record.end_byte();
    if (end < record.data_offset) return record.data_offset;
    if (record.problem.empty() || end >= window_.size_bytes()) return end;
    const Bytes next = window_.view(end, 4);
    const bool record_follows =
        next.size() == 4 && (zip::get32(next, 0) == zip::k_local_signature ||
                             zip::get32(next, 0) == zip::k_central_signature);
    return record_follows ? end : record.data_offset;
  }

  void mark_overlaps() {
    auto& arrays = layout_.arrays;
    std::stable_sort(arrays.begin(), arrays.end(), [](const ArrayRecord& a, const ArrayRecord& b) {
      return a.data_offset < b.data_offset;
    });
    std::uint64_t position = 0;
    for (ArrayRecord& record : arrays) {
      constexpr std::uint64_t k_most = std::uint64_t{1} << 62U;
      if (record.data_offset > k_most || record.packed_bytes > k_most) {
        record.problem = "its place is beyond any file";
        record.data_offset = record.first_byte = position;
        record.packed_bytes = 0;
        continue;
      }
      if (record.data_offset < position) record.problem = "it overlaps the array before it";
      position = std::max(position, record.end_byte());
    }
  }

  ArchiveWindow window_;
  const MemberTable* table_;
  std::unordered_map<std::string_view, std::size_t> rows_;
  ArchiveLayout layout_;
};

}  // namespace

std::string_view name_of(LayoutSource source) {
  constexpr std::array<std::string_view, 4> k_names = {"directory", "members", "headers",
                                                       "nothing"};
  return k_names[static_cast<std::size_t>(source)];
}

ArchiveLayout read_layout(int npz, std::uint64_t size_bytes,
                          std::optional<std::uint64_t> promised_bytes, const MemberTable* table) {
  return LayoutReader(npz, size_bytes, table).read(promised_bytes);
}

}  // namespace mad
