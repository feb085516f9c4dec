#include "manifest/json_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <limits>

#include "base/text.hpp"

namespace mad {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6U);
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12U);
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18U);
    put(0x80U | (code >> 12U & 0x3FU));
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

/// The keys of one object, to find one that is there twice without a copy of each.
class Keys {
 public:
  void add(const JsonKey& key) {
    if (key.text.find('\\') == std::string_view::npos) {
      keys_.push_back(key.text.substr(1, key.text.size() - 2));
    } else {
      keys_.push_back(decoded_.emplace_back(key.characters));
    }
  }
  std::size_t size() const { return keys_.size(); }
  std::optional<std::string> duplicate() {
    std::sort(keys_.begin(), keys_.end());
    const auto at = std::adjacent_find(keys_.begin(), keys_.end());
    if (at == keys_.end()) return std::nullopt;
    return std::string(*at);
  }

 private:
  std::vector<std::string_view> keys_;
  std::deque<std::string> decoded_;
};

const JsonOrigin& validated_origin() {
  static const JsonOrigin origin{"validated JSON", "bug", ExitCode::bug};
  return origin;
}

}  // namespace

std::string_view name_of(JsonKind kind) {
  switch (kind) {
    case JsonKind::null:
      return "null";
    case JsonKind::boolean:
      return "a boolean";
    case JsonKind::number:
      return "a number";
    case JsonKind::string:
      return "a string";
    case JsonKind::array:
      return "an array";
    case JsonKind::object:
      return "an object";
  }
  return "nothing";
}

struct JsonCursor::Nested {
  explicit Nested(JsonCursor& cursor) : cursor_(cursor) {
    if (++cursor_.depth_ > k_max_json_depth) {
      cursor_.fail("nested more than " + std::to_string(k_max_json_depth) + " levels deep");
    }
  }
  ~Nested() { --cursor_.depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  JsonCursor& cursor_;
};

JsonCursor::JsonCursor(std::string_view text, JsonOrigin origin, unsigned depth)
    : text_(text), depth_(depth), origin_(std::move(origin)) {
  if (text_.substr(0, 3) == "\xEF\xBB\xBF") fail("begins with a byte order mark");
}

void JsonCursor::fail(const std::string& what) const {
  const std::string_view before = text_.substr(0, at_);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto newline = before.rfind('\n');
  const std::size_t column = newline == before.npos ? at_ + 1 : at_ - newline;
  throw Error(origin_.code, origin_.reason, origin_.subject,
              "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + what);
}

std::string JsonCursor::found() const {
  if (at_ >= text_.size()) return "the end of the text";
  const std::size_t length = std::max<std::size_t>(utf8_length(text_.substr(at_)), 1);
  return "'" + printable(text_.substr(at_, length)) + "'";
}

void JsonCursor::skip_blanks() {
  while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string::npos) {
    ++at_;
  }
}

bool JsonCursor::take(char c) {
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c, const char* what) {
  if (!take(c)) fail(std::string("expected ") + what + ", found " + found());
}

JsonKind JsonCursor::kind() {
  skip_blanks();
  if (at_ >= text_.size()) fail("expected a value, found the end of the text");
  switch (text_[at_]) {
    case 'n':
      return JsonKind::null;
    case 't':
    case 'f':
      return JsonKind::boolean;
    case '"':
      return JsonKind::string;
    case '[':
      return JsonKind::array;
    case '{':
      return JsonKind::object;
    case '-':
    case 'N':
    case 'I':
      return JsonKind::number;
    default:
      if (is_digit(text_[at_])) return JsonKind::number;
      fail("expected a value, found " + found());
  }
}

std::string_view JsonCursor::read_value(JsonDialect dialect) {
  const JsonKind what = kind();
  const std::size_t begin = at_;
  switch (what) {
    case JsonKind::null:
      scan_word("null");
      break;
    case JsonKind::boolean:
      scan_word(text_[at_] == 't' ? "true" : "false");
      break;
    case JsonKind::number:
      scan_number(dialect);
      break;
    case JsonKind::string:
      scan_string(dialect, nullptr);
      break;
    case JsonKind::array:
      read_array([&] { read_value(dialect); });
      break;
    case JsonKind::object:
      read_object(dialect, [&](const JsonKey&) { read_value(dialect); });
      break;
  }
  return text_.substr(begin, at_ - begin);
}

std::string JsonCursor::read_string(JsonDialect dialect) {
  skip_blanks();
  std::string decoded;
  scan_string(dialect, &decoded);
  return decoded;
}

void JsonCursor::read_object(JsonDialect dialect,
                             const std::function<void(const JsonKey& key)>& each) {
  const Nested nested(*this);
  skip_blanks();
  expect('{', "an object");
  skip_blanks();
  if (take('}')) return;
  Keys keys;
  JsonKey key;
  for (;;) {
    skip_blanks();
    key.characters.clear();
    key.text = scan_string(dialect, &key.characters);
    if (dialect == JsonDialect::strict) {
      if (++open_keys_ > k_max_json_keys) {
        throw Error(origin_.code, "too-large", origin_.subject,
                    "expected at most " + std::to_string(k_max_json_keys) +
                        " keys in one object, found more");
      }
      keys.add(key);
    }
    skip_blanks();
    expect(':', "':'");
    each(key);
    skip_blanks();
    if (take('}')) break;
    expect(',', "',' or '}'");
  }
  open_keys_ -= keys.size();
  if (const auto twice = keys.duplicate()) {
    fail("the key '" + printable(*twice) + "' is there twice");
  }
}

void JsonCursor::read_array(const std::function<void()>& each) {
  const Nested nested(*this);
  skip_blanks();
  expect('[', "an array");
  skip_blanks();
  if (take(']')) return;
  for (;;) {
    each();
    skip_blanks();
    if (take(']')) return;
    expect(',', "',' or ']'");
  }
}

void JsonCursor::expect_end() {
  skip_blanks();
  if (at_ != text_.size()) {
    fail("expected the end of the text, found " + found() + " and " +
         std::to_string(text_.size() - at_ - 1) + " more bytes");
  }
}

std::string_view JsonCursor::scan_string(JsonDialect dialect, std::string* decoded) {
  const std::size_t begin = at_;
  expect('"', "a string");
  for (;;) {
    if (at_ >= text_.size()) fail("a string without an end");
    const char c = text_[at_];
    if (c == '"') {
      ++at_;
      return text_.substr(begin, at_ - begin);
    }
    if (c == '\\') {
      ++at_;
      scan_escape(dialect, decoded);
      continue;
    }
    if (static_cast<unsigned char>(c) < 0x20) fail("a control byte in a string: " + found());
    const std::size_t length = utf8_length(text_.substr(at_));
    if (length == 0) fail("a byte that is not UTF-8: " + found());
    if (decoded != nullptr) decoded->append(text_, at_, length);
    at_ += length;
  }
}

void JsonCursor::scan_escape(JsonDialect dialect, std::string* decoded) {
  constexpr std::string_view k_letters = "\"\\/bfnrt";
  constexpr std::string_view k_meanings = "\"\\/\b\f\n\r\t";
  if (at_ >= text_.size()) fail("a string without an end");
  if (const auto which = k_letters.find(text_[at_]); which != k_letters.npos) {
    ++at_;
    if (decoded != nullptr) *decoded += k_meanings[which];
    return;
  }
  if (text_[at_] != 'u') fail("an unknown escape: " + found());
  ++at_;
  std::uint32_t code = scan_hex4();
  if (code >= 0xD800 && code <= 0xDBFF && text_.substr(at_, 2) == "\\u") {
    const std::size_t back = at_;
    at_ += 2;
    const std::uint32_t low = scan_hex4();
    if (low >= 0xDC00 && low <= 0xDFFF) {
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    } else {
      at_ = back;
    }
  }
  if (code >= 0xD800 && code <= 0xDFFF) {
    if (dialect == JsonDialect::strict) fail("an escape of half a surrogate pair");
    code = 0xFFFD;
  }
  if (decoded != nullptr) append_utf8(*decoded, code);
}

std::uint32_t JsonCursor::scan_hex4() {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (is_digit(c)) {
      code = code * 16 + static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      code = code * 16 + static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      code = code * 16 + static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      fail("expected a hex digit, found " + found());
    }
  }
  return code;
}

void JsonCursor::scan_number(JsonDialect dialect) {
  const auto digits = [&] {
    if (at_ >= text_.size() || !is_digit(text_[at_])) fail("expected a digit, found " + found());
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  };
  const char first = text_[at_];
  const bool infinite = first == '-' && text_.substr(at_ + 1, 1) == "I";
  if (first == 'N' || first == 'I' || infinite) {
    if (dialect == JsonDialect::strict) fail("expected a value, found " + found());
    scan_word(first == 'N' ? "NaN" : infinite ? "-Infinity" : "Infinity");
    return;
  }
  take('-');
  if (!take('0')) digits();
  if (take('.')) digits();
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    digits();
  }
}

void JsonCursor::scan_word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) {
    fail("expected a value, found '" + printable(text_.substr(at_, word.size())) + "'");
  }
  at_ += word.size();
}

std::optional<std::int64_t> json_integer(std::string_view text) {
  const bool negative = text.substr(0, 1) == "-";
  if (negative) text.remove_prefix(1);
  const auto value = parse_decimal(text);
  constexpr auto k_most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value || *value > k_most + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(negative ? 0 - *value : *value);
}

JsonKind json_kind(std::string_view text) {
  return JsonCursor(text, {}).kind();
}

std::string json_characters(std::string_view text) {
  return JsonCursor(text, validated_origin()).read_string(JsonDialect::python);
}

std::optional<std::string_view> find_json(std::string_view text,
                                          const std::vector<std::string>& path) {
  for (const std::string& part : path) {
    JsonCursor cursor(text, validated_origin());
    std::optional<std::string_view> hit;
    const JsonKind kind = cursor.kind();
    if (kind == JsonKind::object) {
      cursor.read_object(JsonDialect::python, [&](const JsonKey& key) {
        const std::string_view value = cursor.read_value(JsonDialect::python);
        if (key.characters == part) hit = value;
      });
    } else if (kind == JsonKind::array) {
      const auto wanted = parse_decimal(part);
      std::uint64_t index = 0;
      cursor.read_array([&] {
        const std::string_view value = cursor.read_value(JsonDialect::python);
        if (index++ == wanted) hit = value;
      });
    }
    if (!hit) return std::nullopt;
    text = *hit;
  }
  return text;
}

std::vector<std::string> split_json_path(std::string_view path) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char next = i + 1 < path.size() ? path[i + 1] : '\0';
    if (path[i] == '\\' && (next == '.' || next == '\\')) {
      parts.back() += next;
      ++i;
    } else if (path[i] == '.') {
      parts.emplace_back();
    } else {
      parts.back() += path[i];
    }
  }
  return parts;
}

namespace {

/// Takes the next token, a string being one, from the front; empty at the end.
std::string_view take_token(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.empty()) return text;
  std::size_t end = 1;
  if (text[0] == '"') {
    while (text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    ++end;
  } else if (std::string_view("[]{},:").find(text[0]) == std::string_view::npos) {
    end = std::min(text.find_first_of("[]{},: \t\r\n", end), text.size());
  }
  const std::string_view token = text.substr(0, end);
  text.remove_prefix(end);
  return token;
}

template <class Visit>
void each_token(std::string_view text, Visit visit) {
  for (std::string_view token = take_token(text); !token.empty(); token = take_token(text)) {
    visit(token);
  }
}

}  // namespace

std::string indent_json(std::string_view text, unsigned indent) {
  std::string out;
  std::size_t level = indent;
  char previous = '\0';
  const auto new_line = [&] { out.append("\n").append(level * 2, ' '); };
  each_token(text, [&](std::string_view token) {
    const char c = token[0];
    const bool after_open = previous == '{' || previous == '[';
    if (c == '}' || c == ']') {
      --level;
      if (!after_open) new_line();
    } else if (after_open || previous == ',') {
      new_line();
    }
    out += token;
    if (c == '{' || c == '[') ++level;
    if (c == ':') out += ' ';
    previous = c;
  });
  return out;
}

std::string compact_json(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  each_token(text, [&](std::string_view token) {
    out += token;
    if (token == ":" || token == ",") out += ' ';
  });
  return out;
}

bool same_json_tokens(std::string_view a, std::string_view b) {
  for (;;) {
    const std::string_view token = take_token(a);
    if (token != take_token(b)) return false;
    if (token.empty()) return true;
  }
}

}  // namespace mad
