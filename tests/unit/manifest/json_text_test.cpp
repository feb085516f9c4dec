#include "manifest/json_text.hpp"

#include "support/catch.hpp"

using mad::JsonCursor;
using mad::JsonDialect;
using mad::test::error_from;

namespace {

std::string_view whole(std::string_view text, JsonDialect dialect) {
  JsonCursor cursor(text, {"text", "test-defect"});
  const std::string_view value = cursor.read_value(dialect);
  cursor.expect_end();
  return value;
}

std::string defect_in(std::string_view text, JsonDialect dialect) {
  const mad::Error error = error_from([&] { whole(text, dialect); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "test-defect");
  CHECK(error.subject == "text");
  return error.message;
}

std::string nested(std::size_t levels) {
  return std::string(levels, '[') + std::string(levels, ']');
}

}  // namespace

TEST_CASE("JsonCursor: every value of RFC 8259 comes back as it stood there") {
  const std::string text =
      GENERATE("null", "true", "false", "0", "-0", "12", "-1.5e+10", "1E5", "0.25", "\"\"",
               R"("a\"\\\/\b\f\n\r\té\ud83d\ude00é")", "[]", "[ ]", "[1, [2], {}]", "{}",
               "{\n\t\"a\" : 1,\r\"b\": {\"a\": 2}}", "99999999999999999999999999999999");
  CHECK(whole(text, JsonDialect::strict) == text);
  CHECK(whole(" \n" + text + "\t ", JsonDialect::strict) == text);
}

TEST_CASE("JsonCursor: what RFC 8259 does not allow is refused in either dialect") {
  const std::string text = GENERATE(
      "", " ", "nul", "True", "tru", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "\"", "\"a",
      "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\n\"", "'a'", "[1,]", "[,1]", "[1 2]", "[", "]",
      "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "1 2",
      "{} x", "/* */ 1", "nan", "inf", "-NaN", "+Infinity", "Infinit");
  defect_in(text, JsonDialect::strict);
  defect_in(text, JsonDialect::python);
}

TEST_CASE("JsonCursor: bytes that are not UTF-8 are refused in either dialect") {
  // A lone continuation, an overlong slash, a surrogate in UTF-8, past U+10FFFF, cut short.
  const std::string bytes =
      GENERATE("\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82");
  const std::string text = "\"" + bytes + "\"";
  CHECK(defect_in(text, JsonDialect::strict).find("not UTF-8") != std::string::npos);
  CHECK(defect_in(text, JsonDialect::python).find("not UTF-8") != std::string::npos);
}

TEST_CASE("JsonCursor: a NUL, a byte order mark and UTF-16 are refused") {
  using namespace std::string_literals;
  defect_in("\"a\0b\""s, JsonDialect::python);
  defect_in("1\0"s, JsonDialect::python);
  defect_in("{\0}\0"s, JsonDialect::python);
  CHECK(defect_in("\xEF\xBB\xBF{}", JsonDialect::python).find("byte order mark") !=
        std::string::npos);
}

TEST_CASE("JsonCursor: what only Python writes passes in its dialect alone") {
  const std::string text = GENERATE("NaN", "Infinity", "-Infinity", R"("\ud800")",
                                    R"("\udc00\ud800")", R"("\ud800\u0041")", R"({"a": 1, "a": 2})",
                                    R"({"a": 1, "\u0061": 2})", R"({"": 1, "b": 2, "": 3})");
  CHECK(whole(text, JsonDialect::python) == text);
  defect_in(text, JsonDialect::strict);
}

TEST_CASE("JsonCursor: a key twice is named, also where it is escaped, at any level") {
  CHECK(defect_in(R"([{"x": {"ab": 1, "b": 2, "a\u0062": 3}}])", JsonDialect::strict)
            .find("'ab' is there twice") != std::string::npos);
}

TEST_CASE("JsonCursor: a defect is named with its line and column") {
  CHECK(defect_in("{\n  \"a\": 1,\n  \"b\": ?\n}", JsonDialect::strict) ==
        "line 3, column 8: expected a value, found '?'");
}

TEST_CASE("JsonCursor: nesting is bounded, and as deep as Python's") {
  CHECK(whole(nested(mad::k_max_json_depth), JsonDialect::strict).size() ==
        2 * mad::k_max_json_depth);
  CHECK(defect_in(nested(mad::k_max_json_depth + 1), JsonDialect::python).find("nested") !=
        std::string::npos);
  // Far deeper text must not reach the end of the stack first.
  defect_in(std::string(4'000'000, '['), JsonDialect::python);
}

TEST_CASE("JsonCursor: the keys of an object and those around it are bounded, others are free") {
  const auto keys = [](std::size_t first, std::size_t count) {
    std::string text;
    for (std::size_t i = first; i < first + count; ++i) {
      text += (text.empty() ? "\"" : ",\"") + std::to_string(i) + "\":0";
    }
    return text;
  };
  constexpr std::size_t k_half = mad::k_max_json_keys / 2;
  const std::string half = keys(0, k_half);
  const auto above = [&](const std::string& more) { return "{" + half + ",\"a\":{" + more + "}}"; };
  const std::string most = above(keys(0, k_half - 1));
  CHECK(whole(most, JsonDialect::strict) == most);
  const std::string too_many = above(half);
  CHECK(error_from([&] { whole(too_many, JsonDialect::strict); }).reason == "too-large");
  CHECK(whole(too_many, JsonDialect::python) == too_many);
  const std::string apart = "[{" + half + "},{" + half + "},{" + half + "}]";
  CHECK(whole(apart, JsonDialect::strict) == apart);
}

TEST_CASE("json_characters: escapes become UTF-8, half a surrogate pair U+FFFD") {
  CHECK(mad::json_characters(R"("\u00e9\u20ac\ud83d\ude00\u0000")") == std::string("é€😀\0", 10));
  CHECK(mad::json_characters(R"("a\ud800b")") ==
        "a\xEF\xBF\xBD"
        "b");
  CHECK(mad::json_characters(R"("\ud800\ud83d\ude00")") == "\xEF\xBF\xBD😀");
}

TEST_CASE("json_integer: integer literals that fit, and nothing else") {
  CHECK(mad::json_integer("-0") == 0);
  CHECK(mad::json_integer("9223372036854775807") == INT64_MAX);
  CHECK(mad::json_integer("-9223372036854775808") == INT64_MIN);
  CHECK_FALSE(mad::json_integer("9223372036854775808"));
  CHECK_FALSE(mad::json_integer("-9223372036854775809"));
  CHECK_FALSE(mad::json_integer("1.0"));
  CHECK_FALSE(mad::json_integer("1e0"));
  CHECK_FALSE(mad::json_integer("true"));
  CHECK_FALSE(mad::json_integer("\"1\""));
}

TEST_CASE("find_json: keys, positions, keys that hold dots, the last of two") {
  const std::string text = R"({"a": {"b.c": [10, {"d": null}], "e": 1, "e": NaN}, "": 5})";
  const auto at = [&](std::string_view path) {
    return mad::find_json(text, mad::split_json_path(path));
  };
  CHECK(at(R"(a.b\.c.0)") == "10");
  CHECK(at(R"(a.b\.c.1.d)") == "null");
  CHECK(at("a.e") == "NaN");
  CHECK(at("") == "5");
  CHECK_FALSE(at("a.b.c"));
  CHECK_FALSE(at(R"(a.b\.c.2)"));
  CHECK_FALSE(at(R"(a.b\.c.-1)"));
  CHECK_FALSE(at(R"(a.b\.c.x)"));
  CHECK_FALSE(at("a.e.f"));
}

TEST_CASE("split_json_path: a backslash takes the meaning from dots and backslashes only") {
  using Parts = std::vector<std::string>;
  CHECK(mad::split_json_path(R"(a\.b.c\\.d\x)") == Parts{"a.b", R"(c\)", R"(d\x)"});
}

TEST_CASE("indent_json: the tokens stay, the blanks are json.dumps's with indent=2") {
  CHECK(mad::indent_json(R"({ "a":[1,{"b,{}":"x: [y]\""}],"c":[ ],"d":{}})", 0) ==
        "{\n  \"a\": [\n    1,\n    {\n      \"b,{}\": \"x: [y]\\\"\"\n    }\n  ],\n"
        "  \"c\": [],\n  \"d\": {}\n}");
  CHECK(mad::indent_json("{\"a\":-Infinity}", 1) == "{\n    \"a\": -Infinity\n  }");
  CHECK(mad::compact_json("{\n  \"a\": [ 1,2 ]\n}") == "{\"a\": [1, 2]}");
}
