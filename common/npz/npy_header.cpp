#include "npz/npy_header.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "base/text.hpp"
#include "npz/npy_dtype.hpp"
#include "npz/npy_literal.hpp"

namespace mad {
namespace {

using Kind = PythonLiteral::Kind;

constexpr std::string_view k_magic = "\x93NUMPY";
constexpr std::size_t k_max_dimensions = 64;

[[noreturn]] void invalid_header(const std::string& subject, const std::string& what) {
  throw Error(ExitCode::refused, "npy-invalid", subject, what);
}

/// Where the header text stands: what the first bytes say.
struct Preamble {
  std::uint8_t major = 0;
  std::size_t text_offset = 0;
  std::uint64_t text_bytes = 0;
};

std::optional<Preamble> read_preamble(Bytes bytes) {
  const auto at = [&bytes](std::size_t i) { return std::to_integer<std::uint64_t>(bytes[i]); };
  if (bytes.size() < 10 || as_text(bytes.first(6)) != k_magic) return std::nullopt;
  const auto major = static_cast<std::uint8_t>(at(6));
  if (major < 1 || major > 3 || at(7) != 0) return std::nullopt;
  if (major == 1) return Preamble{major, 10, at(8) | at(9) << 8U};
  if (bytes.size() < 12) return std::nullopt;
  return Preamble{major, 12, at(8) | at(9) << 8U | at(10) << 16U | at(11) << 24U};
}

std::u32string decode_latin1(std::string_view text) {
  std::u32string out;
  for (const char c : text) out += static_cast<unsigned char>(c);
  return out;
}

std::u32string decode_utf8(std::string_view text, const std::string& subject) {
  std::u32string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      invalid_header(subject, "npy header at byte " + std::to_string(out.size()) +
                                  ": expected UTF-8 (version 3.0), found something else");
    }
    constexpr std::uint8_t k_first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    char32_t code = static_cast<unsigned char>(text[0]) & k_first_bits[length];
    for (std::size_t i = 1; i < length; ++i) {
      code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
    }
    out += code;
    text.remove_prefix(length);
  }
  return out;
}

std::vector<std::uint64_t> read_shape(const PythonLiteral& literal, const std::string& subject) {
  std::vector<std::uint64_t> shape;
  const auto no_shape = [&] {
    invalid_header(subject, "npy shape: expected a tuple of integers, found " +
                                describe_python_literal(literal));
  };
  if (literal.kind != Kind::tuple) no_shape();
  if (literal.items.size() > k_max_dimensions) {
    invalid_header(subject, "npy shape: expected at most " + std::to_string(k_max_dimensions) +
                                " dimensions, found " + std::to_string(literal.items.size()));
  }
  for (const PythonLiteral& item : literal.items) {
    if (item.kind != Kind::integer) no_shape();
    shape.push_back(item.number);
  }
  return shape;
}

/// NumPy bounds the product of the extents that are not zero, even where one is.
std::uint64_t count_bytes(const NpyHeader& header, const std::string& subject) {
  std::uint64_t nonzero = std::max<std::uint64_t>(header.item_bytes, 1);
  bool empty = header.item_bytes == 0;
  for (const std::uint64_t extent : header.shape) {
    if (extent == 0) {
      empty = true;
    } else if (nonzero > INT64_MAX / extent) {
      invalid_header(subject, "npy shape: expected less than 2**63 bytes, found " +
                                  format_shape(header.shape) + " of " +
                                  std::to_string(header.item_bytes) + "-byte items");
    } else {
      nonzero *= extent;
    }
  }
  return empty ? 0 : nonzero;
}

}  // namespace

std::size_t npy_header_bytes_needed(Bytes preamble) {
  const auto read = read_preamble(preamble);
  if (!read) return k_npy_preamble_bytes;
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(read->text_offset + read->text_bytes, k_max_npy_header_bytes));
}

NpyHeader parse_npy_header(Bytes bytes, const std::string& subject) {
  const auto preamble = read_preamble(bytes);
  if (!preamble) {
    const std::size_t magic_bytes = std::min<std::size_t>(bytes.size(), k_magic.size());
    if (as_text(bytes.first(magic_bytes)) != k_magic) {
      invalid_header(subject, "expected the magic bytes of a .npy file, found " +
                                  (bytes.empty() ? "nothing"
                                                 : format_python_string(decode_latin1(
                                                       as_text(bytes.first(magic_bytes))))));
    }
    if (bytes.size() < k_npy_preamble_bytes) {
      invalid_header(subject, "expected a .npy version and length, found only " +
                                  std::to_string(bytes.size()) + " bytes");
    }
    const auto version = std::to_string(std::to_integer<int>(bytes[6])) + '.' +
                         std::to_string(std::to_integer<int>(bytes[7]));
    invalid_header(subject,
                   "expected .npy version 1.0, 2.0 or 3.0 and a length, found version " + version);
  }
  const auto too_long = [&](std::uint64_t length) {
    invalid_header(subject, "npy header: expected at most " +
                                std::to_string(k_max_npy_header_text) +
                                " characters (NumPy's limit), found " + std::to_string(length));
  };
  const std::uint64_t most_bytes =
      preamble->major == 3 ? 4 * k_max_npy_header_text : k_max_npy_header_text;
  if (preamble->text_bytes > most_bytes) too_long(preamble->text_bytes);
  if (preamble->text_bytes > bytes.size() - preamble->text_offset) {
    invalid_header(subject, "npy header: expected " + std::to_string(preamble->text_bytes) +
                                " bytes, found " +
                                std::to_string(bytes.size() - preamble->text_offset));
  }
  const auto raw =
      as_text(bytes.subspan(preamble->text_offset, static_cast<std::size_t>(preamble->text_bytes)));
  const std::u32string text = preamble->major == 3 ? decode_utf8(raw, subject) : decode_latin1(raw);
  if (text.size() > k_max_npy_header_text) too_long(text.size());

  const PythonLiteral dict = parse_python_literal(
      text, preamble->major == 3 ? LongSuffix::refused : LongSuffix::accepted, subject);
  if (dict.kind != Kind::dict) {
    invalid_header(subject,
                   "npy header: expected a dictionary, found " + describe_python_literal(dict));
  }
  const PythonLiteral* descr = nullptr;
  const PythonLiteral* order = nullptr;
  const PythonLiteral* shape = nullptr;
  for (std::size_t i = 0; i < dict.items.size(); i += 2) {
    const PythonLiteral& key = dict.items[i];
    const PythonLiteral** slot = nullptr;
    if (key.kind == Kind::string && key.text == U"descr") slot = &descr;
    if (key.kind == Kind::string && key.text == U"fortran_order") slot = &order;
    if (key.kind == Kind::string && key.text == U"shape") slot = &shape;
    if (slot == nullptr || *slot != nullptr) {
      invalid_header(
          subject,
          "npy header: expected the keys descr, fortran_order and shape once each, found " +
              printable(format_python_string(key.text)) + (slot == nullptr ? " too" : " twice"));
    }
    *slot = &dict.items[i + 1];
  }
  if (descr == nullptr || order == nullptr || shape == nullptr) {
    invalid_header(subject,
                   std::string("npy header: expected the keys descr, fortran_order and shape, "
                               "found no ") +
                       (descr == nullptr   ? "descr"
                        : order == nullptr ? "fortran_order"
                                           : "shape"));
  }
  if (order->kind != Kind::boolean) {
    invalid_header(subject, "npy fortran_order: expected True or False, found " +
                                describe_python_literal(*order));
  }

  NpyHeader header;
  NpyDtype dtype = read_npy_dtype(*descr, subject);
  if (descr->kind == Kind::tuple) {
    // NumPy appends its shape to the array's, and then finds too few or too many items.
    invalid_header(subject, "npy descr: expected no subarray as the type of the whole, found " +
                                describe_python_literal(*descr));
  }
  header.descr = std::move(dtype.text);
  header.item_bytes = dtype.item_bytes;
  header.fortran_order = order->number != 0;
  header.shape = read_shape(*shape, subject);
  header.header_bytes = preamble->text_offset + preamble->text_bytes;
  header.data_bytes = count_bytes(header, subject);
  return header;
}

std::string format_shape(const std::vector<std::uint64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  if (shape.size() == 1) text += ',';
  return text + ')';
}

}  // namespace mad
