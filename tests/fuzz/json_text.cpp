#include "manifest/json_text.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "fuzz/fuzz.hpp"

// Our JSON in both dialects, against another reader's.

namespace {

std::optional<std::string> value_of(std::string_view text, mad::JsonDialect dialect) {
  std::optional<std::string> value;
  mad::fuzz::refuses([&] {
    mad::JsonCursor cursor(text, {"m.json", "manifest-invalid", mad::ExitCode::refused});
    const auto found = cursor.read_value(dialect);
    cursor.expect_end();
    value = found;
  });
  return value;
}

void check_forms(const std::string& value) {
  using mad::fuzz::require;
  const std::string compact = mad::compact_json(value);
  require(compact.find('\n') == std::string::npos, "the compact form is one line");
  require(mad::same_json_tokens(value, compact), "the compact form has the same tokens");
  const std::string lines = mad::indent_json(value, 1);
  require(mad::compact_json(lines) == compact, "the indented form has the same tokens");
  require(mad::indent_json(compact, 1) == lines, "the indented form is one");
  require(value_of(lines, mad::JsonDialect::python).has_value(), "the indented form is valid");
}

enum class Other { takes, refuses, gives_up };

/// What nlohmann_json says.  It gives up at a number beyond a double's range, and takes a
/// NUL for the end.
Other other_reader(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return Other::gives_up;
  try {
    return nlohmann::json::parse(text).is_discarded() ? Other::refuses : Other::takes;
  } catch (const nlohmann::json::out_of_range&) {
    return Other::gives_up;
  } catch (const nlohmann::json::exception&) {
    return Other::refuses;
  }
}

}  // namespace

MAD_FUZZ_TARGET(json_text) {
  using mad::fuzz::require;
  const auto strict = value_of(input, mad::JsonDialect::strict);
  const auto python = value_of(input, mad::JsonDialect::python);
  require(!strict || python == strict, "what is strict is Python's too");
  if (python) check_forms(*python);
  // Where nesting is deeper than either takes, they need not agree.
  if (strict) require(other_reader(input) != Other::refuses, "what is strict is JSON");
  if (!python && input.find('[', 900) == std::string_view::npos &&
      input.find('{', 900) == std::string_view::npos) {
    require(other_reader(input) != Other::takes || input.substr(0, 3) == "\xEF\xBB\xBF",
            "what is JSON is Python's");
  }
}
