#include "base/error.hpp"
#include "base/text.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"

namespace mad {
namespace {

/// Levels of the manifest around a value of `extra`.
constexpr unsigned k_extra_depth = 1;

void require_utf8(std::string_view text, std::string_view key) {
  if (is_utf8(text)) return;
  throw Error(ExitCode::usage, "usage", "extra", "'" + printable(key) + "' is not UTF-8");
}

std::string set_raw(const std::string& extra, std::string_view key, std::string_view raw) {
  require_utf8(key, key);
  JsonCursor cursor(extra, {"extra", "usage", ExitCode::usage}, k_extra_depth);
  if (const JsonKind kind = cursor.kind(); kind != JsonKind::object) {
    cursor.fail("expected an object, found " + std::string(name_of(kind)));
  }
  std::string text = "{";
  bool replaced = false;
  const auto put = [&](std::string_view key_text, std::string_view value) {
    if (text.size() > 1) text += ',';
    text.append(key_text).append(":").append(value);
  };
  cursor.read_object(JsonDialect::python, [&](const JsonKey& member) {
    const std::string_view value = cursor.read_value(JsonDialect::python);
    const bool same = member.characters == key;
    put(member.text, same ? raw : value);
    replaced = replaced || same;
  });
  cursor.expect_end();
  if (!replaced) put(json_quote(key), raw);
  return indent_json(text + '}', k_extra_depth);
}

}  // namespace

std::string normal_extra(std::string_view text, const std::string& subject) {
  JsonCursor cursor(text, {subject, "usage", ExitCode::usage}, k_extra_depth);
  if (const JsonKind kind = cursor.kind(); kind != JsonKind::object) {
    cursor.fail("expected an object, found " + std::string(name_of(kind)));
  }
  const std::string_view object = cursor.read_value(JsonDialect::python);
  cursor.expect_end();
  return indent_json(object, k_extra_depth);
}

std::string set_extra(const std::string& extra, std::string_view key, std::string_view value) {
  require_utf8(value, key);
  std::string raw;
  try {
    JsonCursor cursor(value, {}, k_extra_depth + 1);
    raw = std::string(cursor.read_value(JsonDialect::strict));
    cursor.expect_end();
  } catch (const Error&) {
    raw = json_quote(value);
  }
  return set_raw(extra, key, raw);
}

std::string set_extra_string(const std::string& extra, std::string_view key,
                             const std::optional<std::string>& value) {
  if (!value) return set_raw(extra, key, "null");
  require_utf8(*value, key);
  return set_raw(extra, key, json_quote(*value));
}

}  // namespace mad
