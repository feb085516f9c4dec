#include "manifest/member_table.hpp"

#include <array>
#include <charconv>
#include <limits>

#include "base/error.hpp"
#include "base/text.hpp"
#include "hash/crc32.hpp"
#include "manifest/json_text.hpp"

namespace mad {
namespace {

/// Longer ones are no key, or no `.npy` header that NumPy reads.
constexpr std::size_t k_max_name_bytes = 1024;
constexpr std::size_t k_max_dtype_bytes = 20'000;

/// Reads one member; `place` is what errors call it.
class MemberReader {
 public:
  MemberReader(std::string place, const std::string& subject)
      : place_(std::move(place)), subject_(subject) {}

  TableMember read(JsonCursor& cursor) {
    if (cursor.kind() != JsonKind::object) {
      refuse("", "an object", cursor.read_value(JsonDialect::strict));
    }
    cursor.read_object(JsonDialect::strict, [&](const JsonKey& key) {
      take(key.characters, cursor.read_value(JsonDialect::strict));
    });
    constexpr std::array<const char*, 7> k_required = {
        "name", "dtype", "shape", "offset", "size_bytes", "header_bytes", "crc32"};
    for (std::size_t i = 0; i < k_required.size(); ++i) {
      if ((seen_ >> i & 1U) == 0) refuse(k_required[i], "a value", "no such key");
    }
    check_extent();
    return std::move(member_);
  }

 private:
  enum Key : unsigned { name, dtype, shape, offset, size_bytes, header_bytes, crc32 };

  [[noreturn]] void refuse(const std::string& key, const std::string& expected,
                           std::string_view found) const {
    throw Error(ExitCode::refused, "manifest-invalid", subject_,
                place_ + (key.empty() ? "" : "." + key) + ": expected " + expected + ", found " +
                    printable(found, 80));
  }

  void take(const std::string& key, std::string_view value) {
    if (key == "name") {
      member_.name = text(key, value, k_max_name_bytes);
      see(name);
    } else if (key == "dtype") {
      member_.dtype = text(key, value, k_max_dtype_bytes);
      see(dtype);
    } else if (key == "shape") {
      take_shape(value);
      see(shape);
    } else if (key == "offset") {
      member_.offset = length(key, value);
      see(offset);
    } else if (key == "size_bytes") {
      member_.size_bytes = length(key, value);
      see(size_bytes);
    } else if (key == "header_bytes") {
      member_.header_bytes = length(key, value);
      see(header_bytes);
    } else if (key == "crc32") {
      take_crc32(value);
      see(crc32);
    } else if (key == "packed_bytes" && value != "null") {
      member_.packed_bytes = length(key, value);
    } else if (key == "fortran_order") {
      if (json_kind(value) != JsonKind::boolean) refuse(key, "true or false", value);
      member_.fortran_order = value == "true";
    }
  }

  void see(Key key) { seen_ |= 1U << key; }

  std::string text(const std::string& key, std::string_view value, std::size_t most) const {
    if (json_kind(value) != JsonKind::string) refuse(key, "a string", value);
    std::string characters = json_characters(value);
    if (characters.empty() || characters.size() > most) {
      refuse(key, "1 to " + std::to_string(most) + " bytes",
             std::to_string(characters.size()) + " bytes");
    }
    return characters;
  }

  std::uint64_t length(const std::string& key, std::string_view value) const {
    const auto number = json_integer(value);
    if (!number || *number < 0) {
      refuse(key, "an integer from 0 to 9223372036854775807", value);
    }
    return static_cast<std::uint64_t>(*number);
  }

  void take_shape(std::string_view value) {
    if (json_kind(value) != JsonKind::array) refuse("shape", "an array", value);
    JsonCursor cursor(value, {subject_, "manifest-invalid"});
    cursor.read_array([&] {
      const std::string_view extent = cursor.read_value(JsonDialect::strict);
      if (member_.shape.size() == k_max_array_dimensions) {
        refuse("shape", "at most " + std::to_string(k_max_array_dimensions) + " lengths", "more");
      }
      member_.shape.push_back(length("shape", extent));
    });
    member_.shape.shrink_to_fit();
  }

  void take_crc32(std::string_view value) {
    constexpr const char* k_expected = "a string of 8 lower-case hex digits";
    if (value.size() != 10 || value.front() != '"') refuse("crc32", k_expected, value);
    const std::string_view digits = value.substr(1, 8);
    if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
      refuse("crc32", k_expected, value);
    }
    std::from_chars(digits.data(), digits.data() + digits.size(), member_.crc32, 16);
  }

  void check_extent() const {
    const std::uint64_t packed = member_.packed_bytes.value_or(member_.size_bytes);
    constexpr std::uint64_t k_most = std::numeric_limits<std::int64_t>::max();
    if (packed > k_most - member_.offset || member_.header_bytes > k_most - member_.size_bytes ||
        (!member_.packed_bytes && member_.header_bytes > member_.offset)) {
      refuse("offset", "room for the array's header before it and its bytes behind it",
             std::to_string(member_.offset));
    }
  }

  std::string place_;
  const std::string& subject_;
  TableMember member_;
  unsigned seen_ = 0;
};

std::string format_member(const TableMember& member) {
  std::string text = "{\"name\": " + json_quote(member.name) +
                     ", \"dtype\": " + json_quote(member.dtype) + ", \"shape\": [";
  for (std::size_t i = 0; i < member.shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(member.shape[i]);
  }
  text += "]";
  if (member.fortran_order) text += ", \"fortran_order\": true";
  text += ", \"offset\": " + std::to_string(member.offset) +
          ", \"size_bytes\": " + std::to_string(member.size_bytes) +
          ", \"header_bytes\": " + std::to_string(member.header_bytes);
  if (member.packed_bytes) text += ", \"packed_bytes\": " + std::to_string(*member.packed_bytes);
  return text + ", \"crc32\": \"" + format_crc32(member.crc32) + "\"}";
}

}  // namespace

MemberTable parse_member_table(std::string_view text, std::optional<std::uint64_t> size_bytes,
                               const std::string& subject) {
  if (json_kind(text) != JsonKind::array) {
    throw Error(ExitCode::refused, "manifest-invalid", subject,
                "members: expected an array, found " + std::string(name_of(json_kind(text))));
  }
  MemberTable table;
  std::uint64_t position = 0;
  JsonCursor cursor(text, {subject, "manifest-invalid"});
  cursor.read_array([&] {
    const std::string place = "members." + std::to_string(table.size());
    TableMember member = MemberReader(place, subject).read(cursor);
    if (member.first_byte() < position ||
        member.end_byte() > size_bytes.value_or(std::numeric_limits<std::int64_t>::max())) {
      throw Error(ExitCode::refused, "manifest-invalid", subject,
                  place + ": expected an array between byte " + std::to_string(position) +
                      " and the end of the npz, found bytes " +
                      std::to_string(member.first_byte()) + " to " +
                      std::to_string(member.end_byte()));
    }
    position = member.end_byte();
    table.push_back(std::move(member));
  });
  return table;
}

std::optional<std::string> format_member_table(const MemberTable& table, std::size_t most) {
  std::string text = "[";
  for (const TableMember& member : table) {
    text += text.size() > 1 ? ",\n    " : "\n    ";
    text += format_member(member);
    if (text.size() > most) return std::nullopt;
  }
  text += table.empty() ? "]" : "\n  ]";
  if (text.size() > most) return std::nullopt;
  return text;
}

}  // namespace mad
