#include "npz/npy_dtype.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "npz/npy_header.hpp"

namespace mad {
namespace {

using Kind = PythonLiteral::Kind;

constexpr std::uint64_t k_max_item_bytes = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t k_max_subarray_dimensions = 64;

[[noreturn]] void invalid_descr(const std::string& subject, const std::string& what) {
  throw Error(ExitCode::refused, "npy-invalid", subject, what);
}

[[noreturn]] void not_a_type(const PythonLiteral& descr, const std::string& subject) {
  invalid_descr(subject, "npy descr: expected a type such as '<f8', found " +
                             printable(format_python_string(descr.text)));
}

/// `[ns]`, `[25s]` or nothing, in NumPy's form.
std::string read_time_unit(std::string_view text, const PythonLiteral& descr,
                           const std::string& subject) {
  if (text.empty() || text == "[generic]") return {};
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') not_a_type(descr, subject);
  text = text.substr(1, text.size() - 2);
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string count(text.substr(0, digits));
  const std::string unit(text.substr(digits));
  constexpr std::array<std::string_view, 13> k_units = {"Y",  "M",  "W",  "D",  "h",  "m", "s",
                                                        "ms", "us", "ns", "ps", "fs", "as"};
  bool known = false;
  for (const std::string_view one : k_units) known = known || one == unit;
  if (!known) not_a_type(descr, subject);
  if (!count.empty()) {
    const auto value = parse_decimal(count);
    if (!value || *value == 0 || *value > k_max_item_bytes || count.front() == '0') {
      not_a_type(descr, subject);
    }
    if (count == "1") count.clear();
  }
  return '[' + count + unit + ']';
}

bool has_size(char kind, std::uint64_t size) {
  switch (kind) {
    case 'b':
      return size == 1;
    case 'i':
    case 'u':
      return size == 1 || size == 2 || size == 4 || size == 8;
    case 'f':
      return size == 2 || size == 4 || size == 8 || size == 16;
    case 'c':
      return size == 8 || size == 16 || size == 32;
    case 'M':
    case 'm':
      return size == 8;
    default:
      return false;
  }
}

NpyDtype read_type_string(const PythonLiteral& descr, const std::string& subject) {
  constexpr char k_native = std::endian::native == std::endian::little ? '<' : '>';
  std::string text;
  for (const char32_t c : descr.text) {
    if (c < 0x20 || c > 0x7E) not_a_type(descr, subject);
    text += static_cast<char>(c);
  }
  std::string_view rest = text;
  char order = k_native;
  bool order_is_given = false;
  if (!rest.empty() && std::string_view("<>|=").find(rest.front()) != std::string_view::npos) {
    order_is_given = rest.front() == '<' || rest.front() == '>';
    if (order_is_given) order = rest.front();
    rest.remove_prefix(1);
  }
  if (rest.empty()) not_a_type(descr, subject);
  char kind = rest.front();
  rest.remove_prefix(1);
  const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const std::string_view number = rest.substr(0, digits);
  rest.remove_prefix(digits);
  if (kind == 'O' && rest.empty()) {
    throw Error(ExitCode::refused, "npy-object", subject,
                "expected an array of plain data, found objects (dtype " +
                    format_python_string(descr.text) + "), which only unpickling can read",
                "save it with a numeric, string or structured dtype");
  }
  if (number.size() > 1 && number.front() == '0') not_a_type(descr, subject);
  std::uint64_t size = 0;
  if (!number.empty()) {
    const auto value = parse_decimal(number);
    if (!value || *value > k_max_item_bytes) {
      invalid_descr(subject, "npy descr: expected an item of at most " +
                                 std::to_string(k_max_item_bytes) + " bytes, found " +
                                 format_python_string(descr.text));
    }
    size = *value;
  }

  NpyDtype dtype;
  const std::string digits_text = std::to_string(size);
  if (kind == 'S' || kind == 'a' || kind == 'V' || kind == 'U') {
    if (!rest.empty()) not_a_type(descr, subject);
    dtype.item_bytes = kind == 'U' ? size * 4 : size;
    if (dtype.item_bytes > k_max_item_bytes) {
      invalid_descr(subject, "npy descr: expected an item of at most " +
                                 std::to_string(k_max_item_bytes) + " bytes, found " +
                                 format_python_string(descr.text));
    }
    // Extension types such as bfloat16 arrive as `<V2`; the order is all that
    // tells them from raw bytes.
    const bool keeps_order = kind == 'U' || (kind == 'V' && order_is_given);
    dtype.text = std::string("'") + (keeps_order ? order : '|') + (kind == 'a' ? 'S' : kind) +
                 digits_text + "'";
    return dtype;
  }
  if (number.empty() || !has_size(kind, size)) not_a_type(descr, subject);
  std::string unit;
  if (kind == 'M' || kind == 'm') {
    unit = read_time_unit(rest, descr, subject);
  } else if (!rest.empty()) {
    not_a_type(descr, subject);
  }
  dtype.item_bytes = size;
  dtype.text = std::string("'") + (size == 1 ? '|' : order) + kind + digits_text + unit + "'";
  return dtype;
}

/// The dtype repeated over a subarray's shape.
std::uint64_t multiply(std::uint64_t item_bytes, const std::vector<std::uint64_t>& shape,
                       const std::string& subject) {
  std::uint64_t total = item_bytes;
  std::uint64_t nonzero = std::max<std::uint64_t>(item_bytes, 1);
  for (const std::uint64_t extent : shape) {
    if (extent > k_max_item_bytes || (extent != 0 && nonzero > k_max_item_bytes / extent)) {
      invalid_descr(subject, "npy descr: expected an item of at most " +
                                 std::to_string(k_max_item_bytes) + " bytes, found a subarray " +
                                 format_shape(shape) + " of " + std::to_string(item_bytes) +
                                 "-byte items");
    }
    total *= extent;
    if (extent != 0) nonzero *= extent;
  }
  return total;
}

std::vector<std::uint64_t> read_subshape(const PythonLiteral& literal, const std::string& subject) {
  if (literal.kind == Kind::integer) return {literal.number};
  std::vector<std::uint64_t> shape;
  bool good = literal.kind == Kind::tuple && literal.items.size() <= k_max_subarray_dimensions;
  if (good) {
    for (const PythonLiteral& item : literal.items) {
      good = good && item.kind == Kind::integer;
      shape.push_back(item.number);
    }
  }
  if (!good) {
    invalid_descr(subject, "npy descr: expected a subarray's shape as a tuple of integers, found " +
                               describe_python_literal(literal));
  }
  return shape;
}

class StructReader {
 public:
  explicit StructReader(const std::string& subject) : subject_(subject) {}

  NpyDtype read(const PythonLiteral& list) {
    NpyDtype all;
    all.text = "[";
    for (const PythonLiteral& field : list.items) {
      if (all.text.size() > 1) all.text += ", ";
      add_field(field, all);
      if (all.item_bytes > k_max_item_bytes) {
        invalid_descr(subject_, "npy descr: expected an item of at most " +
                                    std::to_string(k_max_item_bytes) + " bytes, found " +
                                    std::to_string(all.item_bytes));
      }
    }
    all.text += "]";
    return all;
  }

 private:
  void add_field(const PythonLiteral& field, NpyDtype& all) {
    if (field.kind != Kind::tuple || field.items.size() < 2 || field.items.size() > 3) {
      invalid_descr(subject_,
                    "npy descr: expected fields as (name, type) or (name, type, shape), found " +
                        describe_python_literal(field));
    }
    const NpyDtype type = read_npy_dtype(field.items[1], subject_);
    const PythonLiteral& name = field.items[0];
    const bool is_padding = name.kind == Kind::string && name.text.empty() &&
                            field.items[1].kind == Kind::string &&
                            type.text.find('V') != std::string::npos;
    all.text += '(';
    if (name.kind == Kind::string) {
      if (!is_padding) claim(name.text);
      all.text += format_python_string(name.text);
    } else if (name.kind == Kind::tuple && name.items.size() == 2 &&
               name.items[0].kind == Kind::string && name.items[1].kind == Kind::string) {
      claim(name.items[1].text);
      if (name.items[0].text != name.items[1].text) claim(name.items[0].text);
      all.text += '(' + format_python_string(name.items[0].text) + ", " +
                  format_python_string(name.items[1].text) + ')';
    } else {
      invalid_descr(
          subject_,
          "npy descr: expected a field's name, or its title and name, as strings, found " +
              describe_python_literal(name));
    }
    all.text += ", " + type.text;
    std::uint64_t bytes = type.item_bytes;
    if (field.items.size() == 3) {
      const auto shape = read_subshape(field.items[2], subject_);
      bytes = multiply(bytes, shape, subject_);
      all.text += ", " + format_shape(shape);
    }
    all.text += ')';
    all.item_bytes += bytes;
  }

  void claim(const std::u32string& name) {
    if (names_.insert(name).second) return;
    invalid_descr(subject_, "npy descr: expected distinct field names, found " +
                                format_python_string(name) + " twice");
  }

  const std::string& subject_;
  std::set<std::u32string> names_;
};

}  // namespace

NpyDtype read_npy_dtype(const PythonLiteral& descr, const std::string& subject) {
  if (descr.kind == Kind::string) return read_type_string(descr, subject);
  if (descr.kind == Kind::list) return StructReader(subject).read(descr);
  if (descr.kind == Kind::tuple && descr.items.size() == 2) {
    NpyDtype dtype = read_npy_dtype(descr.items[0], subject);
    const auto shape = read_subshape(descr.items[1], subject);
    dtype.item_bytes = multiply(dtype.item_bytes, shape, subject);
    dtype.text = '(' + dtype.text + ", " + format_shape(shape) + ')';
    return dtype;
  }
  invalid_descr(subject,
                "npy descr: expected a type string, a list of fields or (type, shape), found " +
                    describe_python_literal(descr));
}

}  // namespace mad
