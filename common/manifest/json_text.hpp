#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace mad {

/// strict: RFC 8259 in UTF-8, and no key twice in an object, no lone surrogate escape.
/// python: also what Python's json.dumps writes: NaN, Infinity, -Infinity, lone
/// surrogate escapes, a key twice.
enum class JsonDialect { strict, python };

enum class JsonKind { null, boolean, number, string, array, object };

/// With its article, for messages: `an object`.
std::string_view name_of(JsonKind kind);

/// A key as it stands in the text, quotes included, and what it says.
struct JsonKey {
  std::string_view text;
  std::string characters;
};

/// Python's own nesting limit; deeper text is refused.
inline constexpr unsigned k_max_json_depth = 1000;

/// In a strict object, those around it counted too; more are refused as `too-large`.  Enough for a
/// topology of all the arrays that an npz may have.
inline constexpr std::size_t k_max_json_keys = 300'000;

/// What a defect in the text is reported as.
struct JsonOrigin {
  std::string subject;
  std::string reason;
  ExitCode code = ExitCode::refused;
};

/// Walks over JSON text from front to back and hands out slices of it, so that a
/// value can be kept as its producer wrote it.
///
/// Everything walked over is validated.  A defect throws Error(origin) with its line
/// and column.  Memory does not grow with the text, the keys of the open strict
/// objects aside (16 bytes each).
class JsonCursor {
 public:
  /// `text` must outlive the cursor.  `depth` is how many levels it is nested already.
  JsonCursor(std::string_view text, JsonOrigin origin, unsigned depth = 0);

  /// Of the value that follows.
  JsonKind kind();
  /// Steps over one value of any kind; its text without blanks around it.
  std::string_view read_value(JsonDialect dialect);
  /// The characters of a string; a lone surrogate becomes U+FFFD.
  std::string read_string(JsonDialect dialect);
  /// Calls `each` for every member, which must step over the value.
  void read_object(JsonDialect dialect, const std::function<void(const JsonKey& key)>& each);
  void read_array(const std::function<void()>& each);
  /// Nothing but blanks may follow.
  void expect_end();

  [[noreturn]] void fail(const std::string& what) const;

 private:
  struct Nested;

  void skip_blanks();
  bool take(char c);
  void expect(char c, const char* what);
  std::string found() const;
  std::string_view scan_string(JsonDialect dialect, std::string* decoded);
  void scan_escape(JsonDialect dialect, std::string* decoded);
  std::uint32_t scan_hex4();
  void scan_number(JsonDialect dialect);
  void scan_word(std::string_view word);

  std::string_view text_;
  std::size_t at_ = 0;
  unsigned depth_;
  std::size_t open_keys_ = 0;
  JsonOrigin origin_;
};

/// An integer literal (no fraction, no exponent) that fits, else nothing.
std::optional<std::int64_t> json_integer(std::string_view text);

/// The functions below take text that was validated, in either dialect.

/// What kind of value the text of one is.
JsonKind json_kind(std::string_view text);

/// The characters of a string's text.
std::string json_characters(std::string_view text);

/// The value at a path of keys and array positions; of a key that is there twice the
/// last, as Python has it.  Nothing where there is none.
std::optional<std::string_view> find_json(std::string_view text,
                                          const std::vector<std::string>& path);

/// `extra.a\.b.0` as its parts.
std::vector<std::string> split_json_path(std::string_view path);

/// The same tokens over lines, two blanks a level, the first line not indented and the
/// others `indent` levels deeper: json.dumps(…, indent=2).
std::string indent_json(std::string_view text, unsigned indent);

/// The same tokens on one line.
std::string compact_json(std::string_view text);

/// Whether the two have the same tokens.
bool same_json_tokens(std::string_view a, std::string_view b);

}  // namespace mad
