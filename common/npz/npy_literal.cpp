#include "npz/npy_literal.hpp"

#include <optional>
#include <string_view>

#include "base/error.hpp"

namespace mad {
namespace {

constexpr int k_max_nesting = 64;
constexpr std::string_view k_hex = "0123456789abcdef";

bool is_blank(char32_t c) {
  return c == U' ' || c == U'\t' || c == U'\n' || c == U'\r' || c == U'\f';
}
bool is_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}
bool is_word(char32_t c) {
  return is_digit(c) || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || c == U'_' ||
         c > 0x7F;
}

std::optional<std::uint32_t> digit_value(char32_t c, std::uint32_t base) {
  std::uint32_t value = 99;
  if (is_digit(c)) value = c - U'0';
  if (c >= U'a' && c <= U'f') value = c - U'a' + 10;
  if (c >= U'A' && c <= U'F') value = c - U'A' + 10;
  return value < base ? std::optional(value) : std::nullopt;
}

void append_hex(std::string& out, char32_t c, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += k_hex[(c >> static_cast<unsigned>(shift)) & 15U];
  }
}

void append_utf8(std::string& out, char32_t c) {
  const auto add = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    add(c);
  } else if (c < 0x800) {
    add(0xC0U | (c >> 6U));
    add(0x80U | (c & 63U));
  } else if (c < 0x10000) {
    add(0xE0U | (c >> 12U));
    add(0x80U | ((c >> 6U) & 63U));
    add(0x80U | (c & 63U));
  } else {
    add(0xF0U | (c >> 18U));
    add(0x80U | ((c >> 12U) & 63U));
    add(0x80U | ((c >> 6U) & 63U));
    add(0x80U | (c & 63U));
  }
}

/// Not str.isprintable(), which needs Unicode's tables: just what could hide in
/// or reorder a message.
bool is_printable(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return false;
  return !((c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) ||
           (c >= 0x205F && c <= 0x206F) || (c >= 0xD800 && c <= 0xDFFF) || c == 0xFEFF ||
           c > 0x10FFFF);
}

class Parser {
 public:
  Parser(const std::u32string& text, LongSuffix suffix, const std::string& subject)
      : text_(text), suffix_(suffix), subject_(subject) {}

  PythonLiteral parse() {
    PythonLiteral value = parse_value(0);
    skip_blanks();
    if (at_ < text_.size()) fail("the end of the header");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    std::string found = "its end";
    if (at_ < text_.size()) found = format_python_string(text_.substr(at_, 20));
    throw Error(ExitCode::refused, "npy-invalid", subject_,
                "npy header at character " + std::to_string(at_) + ": expected " + expected +
                    ", found " + found);
  }

  char32_t peek() const { return at_ < text_.size() ? text_[at_] : 0; }
  char32_t peek_after() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : 0; }

  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }

  bool take(char32_t c) {
    skip_blanks();
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  bool take_word(std::u32string_view word) {
    if (text_.compare(at_, word.size(), word) != 0) return false;
    if (at_ + word.size() < text_.size() && is_word(text_[at_ + word.size()])) return false;
    at_ += word.size();
    return true;
  }

  PythonLiteral parse_value(int depth) {
    if (depth > k_max_nesting)
      fail("at most " + std::to_string(k_max_nesting) + " levels of nesting");
    skip_blanks();
    const char32_t c = peek();
    if (c == U'(') return parse_sequence(PythonLiteral::Kind::tuple, U')', depth);
    if (c == U'[') return parse_sequence(PythonLiteral::Kind::list, U']', depth);
    if (c == U'{') return parse_dict(depth);
    if (is_digit(c)) return parse_integer();
    if (c == U'\'' || c == U'"') return parse_string();
    if ((c == U'u' || c == U'U') && (peek_after() == U'\'' || peek_after() == U'"')) {
      ++at_;
      return parse_string();
    }
    PythonLiteral value;
    value.kind = PythonLiteral::Kind::boolean;
    value.number = 1;
    if (take_word(U"True")) return value;
    value.number = 0;
    if (take_word(U"False")) return value;
    fail("a string, an integer, True, False, a tuple, a list or a dict");
  }

  PythonLiteral parse_sequence(PythonLiteral::Kind kind, char32_t end, int depth) {
    PythonLiteral value;
    value.kind = kind;
    ++at_;
    bool comma = false;
    while (!take(end)) {
      if (!value.items.empty() && !comma) fail("a comma");
      value.items.push_back(parse_value(depth + 1));
      comma = take(U',');
    }
    // `(3)` is an integer in brackets.
    if (kind == PythonLiteral::Kind::tuple && value.items.size() == 1 && !comma) {
      return std::move(value.items.front());
    }
    return value;
  }

  PythonLiteral parse_dict(int depth) {
    PythonLiteral value;
    value.kind = PythonLiteral::Kind::dict;
    ++at_;
    bool comma = true;
    while (!take(U'}')) {
      if (!comma) fail("a comma");
      value.items.push_back(parse_value(depth + 1));
      if (!take(U':')) fail("a colon");
      value.items.push_back(parse_value(depth + 1));
      comma = take(U',');
    }
    return value;
  }

  PythonLiteral parse_integer() {
    PythonLiteral value;
    if (peek() == U'0' && is_digit(peek_after())) fail("a decimal integer");
    for (; is_digit(peek()); ++at_) {
      const std::uint64_t digit = text_[at_] - U'0';
      if (value.number > (INT64_MAX - digit) / 10) fail("an integer below 2**63");
      value.number = value.number * 10 + digit;
    }
    if (suffix_ == LongSuffix::accepted && peek() == U'L') ++at_;
    if (is_word(peek()) || peek() == U'.') fail("a decimal integer");
    return value;
  }

  PythonLiteral parse_string() {
    PythonLiteral value;
    value.kind = PythonLiteral::Kind::string;
    const char32_t quote = text_[at_++];
    while (peek() != quote) {
      if (at_ >= text_.size() || peek() == U'\n' || peek() == U'\r' || peek() == 0) {
        fail("the string's closing quote");
      }
      if (peek() == U'\\') {
        parse_escape(value.text);
      } else {
        value.text += text_[at_++];
      }
    }
    ++at_;
    return value;
  }

  void parse_escape(std::u32string& into) {
    ++at_;
    const char32_t c = peek();
    constexpr std::u32string_view k_names = U"\\'\"abfnrtv";
    constexpr std::u32string_view k_values = U"\\'\"\a\b\f\n\r\t\v";
    const auto simple = k_names.find(c);
    if (at_ < text_.size() && simple != std::u32string_view::npos) {
      into += k_values[simple];
      ++at_;
    } else if (c == U'x' || c == U'u' || c == U'U') {
      ++at_;
      into += parse_code(16, c == U'x' ? 2 : c == U'u' ? 4 : 8, true);
    } else if (digit_value(c, 8)) {
      into += parse_code(8, 3, false);
    } else {
      fail("an escape sequence");
    }
  }

  char32_t parse_code(std::uint32_t base, int most, bool exact) {
    char32_t code = 0;
    int digits = 0;
    while (digits < most) {
      const auto digit = digit_value(peek(), base);
      if (!digit) break;
      code = code * base + *digit;
      ++digits;
      ++at_;
    }
    if ((exact && digits != most) || code > 0x10FFFF) fail("an escape sequence");
    return code;
  }

  const std::u32string& text_;
  LongSuffix suffix_;
  const std::string& subject_;
  std::size_t at_ = 0;
};

}  // namespace

PythonLiteral parse_python_literal(const std::u32string& text, LongSuffix suffix,
                                   const std::string& subject) {
  return Parser(text, suffix, subject).parse();
}

std::string describe_python_literal(const PythonLiteral& literal) {
  constexpr std::size_t k_described_bytes = 60;
  if (literal.kind == PythonLiteral::Kind::string)
    return printable(format_python_string(literal.text));
  if (literal.kind == PythonLiteral::Kind::integer) return std::to_string(literal.number);
  if (literal.kind == PythonLiteral::Kind::boolean) return literal.number != 0 ? "True" : "False";
  const bool is_dict = literal.kind == PythonLiteral::Kind::dict;
  const bool is_tuple = literal.kind == PythonLiteral::Kind::tuple;
  std::string text = is_dict ? "{" : is_tuple ? "(" : "[";
  for (std::size_t i = 0; i < literal.items.size() && text.size() < k_described_bytes; ++i) {
    if (i > 0) text += is_dict && i % 2 == 1 ? ": " : ", ";
    text += describe_python_literal(literal.items[i]);
  }
  if (is_tuple && literal.items.size() == 1) text += ',';
  return printable(text + (is_dict ? "}" : is_tuple ? ")" : "]"), k_described_bytes);
}

std::string format_python_string(const std::u32string& text) {
  const bool has_single = text.find(U'\'') != std::u32string::npos;
  const bool has_double = text.find(U'"') != std::u32string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (const char32_t c : text) {
    if (c == U'\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else if (c < 0x100) {
      out += "\\x";
      append_hex(out, c, 2);
    } else if (c < 0x10000) {
      out += "\\u";
      append_hex(out, c, 4);
    } else {
      out += "\\U";
      append_hex(out, c, 8);
    }
  }
  return out + quote;
}

}  // namespace mad
