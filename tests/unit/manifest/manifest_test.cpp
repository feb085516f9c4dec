#include "manifest/manifest.hpp"

#include "manifest/json_text.hpp"

#include "support/catch.hpp"

using mad::Manifest;
using mad::test::error_from;

namespace {

// FIPS 180-4's example: SHA-256 of "abc".
const std::string k_digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string with(const std::string& keys) {
  return R"({"schema_version": 1, "sha256": ")" + k_digest + "\"" + keys + "}";
}

Manifest parse(const std::string& text) {
  return mad::parse_manifest(text, "m.json");
}

/// The message of a manifest that is refused as invalid.
std::string defect_in(const std::string& text) {
  INFO(text);
  const mad::Error error = error_from([&] { parse(text); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "manifest-invalid");
  CHECK(error.subject == "m.json");
  return error.message;
}

bool says(const std::string& message, const std::string& part) {
  INFO(message);
  INFO(part);
  return message.find(part) != std::string::npos;
}

std::string chunks(const std::string& bytes, const std::string& digests) {
  return R"(, "chunks": {"algorithm": "sha256", "chunk_bytes": )" + bytes + ", \"digests\": [" +
         digests + "]}";
}

}  // namespace

TEST_CASE("parse_manifest: the reference's manifest") {
  const Manifest manifest = parse(R"({
  "schema_version": 1,
  "sha256": ")" + k_digest + R"(",
  "size_bytes": 810,
  "extra": {
    "session_id": null,
    "commit": "abc123"
  }
})");
  CHECK(manifest.schema_version == 1);
  CHECK(mad::to_hex(manifest.sha256) == k_digest);
  CHECK(manifest.size_bytes == 810);
  CHECK(manifest.extra == "{\n    \"session_id\": null,\n    \"commit\": \"abc123\"\n  }");
  CHECK_FALSE(manifest.created_at);
  CHECK_FALSE(manifest.step);
  CHECK_FALSE(manifest.chunks);
}

TEST_CASE("parse_manifest: the least that a manifest can be") {
  const Manifest manifest = parse(with(""));
  CHECK_FALSE(manifest.size_bytes);
  CHECK(manifest.extra == "{}");
}

TEST_CASE("parse_manifest: extra is kept as Python wrote it") {
  const std::string extra =
      R"({"nan": NaN, "inf": [Infinity, -Infinity], "half": "\ud800", "twice": 1,)"
      R"( "twice": 2, "huge": 123456789012345678901234567890, "x": 1e999})";
  CHECK(parse(with(", \"extra\": " + extra)).extra == extra);
}

TEST_CASE("parse_manifest: what only extra may hold is refused outside of it") {
  const std::string value = GENERATE(R"(NaN)", R"([Infinity])", R"({"a": -Infinity})",
                                     R"("\ud800")", R"({"a": 1, "a": 2})");
  defect_in(with(", \"other\": " + value));
}

TEST_CASE("parse_manifest: keys that it does not know are ignored, if they are JSON") {
  CHECK(parse(with(R"(, "others": [{"name": "a/b.npy", "crc32": 1}], "x": null)")).extra == "{}");
  defect_in(with(R"(, "others": [)"));
}

TEST_CASE("parse_manifest: a key twice is refused") {
  CHECK(says(defect_in(with(R"(, "sha256": ")" + k_digest + "\"")), "'sha256' is there twice"));
  CHECK(says(defect_in(with(R"(, "extra": {}, "extra": {})")), "'extra' is there twice"));
  CHECK(says(defect_in(with(R"(, "schema\u005fversion": 1)")), "'schema_version' is there twice"));
}

TEST_CASE("parse_manifest: what is no manifest at all is refused") {
  using namespace std::string_literals;
  defect_in("");
  CHECK(says(defect_in("[]"), "which is an object, found an array"));
  defect_in("null");
  defect_in("<?xml version=\"1.0\"?>");
  defect_in("PK\x03\x04");
  CHECK(says(defect_in(with("") + "\n{}"), "line 2, column 1: expected the end of the text"));
  defect_in(with("") + "\0"s);
  CHECK(says(defect_in("\xEF\xBB\xBF" + with("")), "byte order mark"));
  CHECK(says(defect_in(with(", \"extra\": {\"a\": \"\xFF\"}")), "not UTF-8"));
  std::string utf16;
  for (const char c : with("")) utf16 += std::string{c, '\0'};
  defect_in(utf16);
  defect_in("\xFF\xFE" + utf16);
  defect_in(with("").substr(0, 40));
}

TEST_CASE("parse_manifest: a schema_version that is no integer of 32 bits is refused") {
  const std::string version = GENERATE("true", "false", "1.0", "1e0", "\"1\"", "null", "[1]", "{}",
                                       "2147483648", "-2147483649", "99999999999999999999999");
  const std::string message =
      defect_in(R"({"schema_version": )" + version + R"(, "sha256": ")" + k_digest + "\"}");
  CHECK(says(message, "schema_version: expected an integer"));
}

TEST_CASE("parse_manifest: a missing schema_version is refused, before all else") {
  CHECK(says(defect_in("{}"), "schema_version: expected an integer, found no such key"));
  CHECK(says(defect_in(R"({"schema_version": "1", "sha256": 5})"), "schema_version"));
}

TEST_CASE("parse_manifest: a newer schema names the upgrade, whatever else it holds") {
  const mad::Error error =
      error_from([] { parse(R"({"schema_version": 2, "sha256": ["another", "shape"]})"); });
  CHECK(error.code == mad::ExitCode::schema);
  CHECK(error.reason == "schema-too-new");
  CHECK(says(error.message, "expected 1, found 2, which is newer"));
  CHECK(says(error.hint, "upgrade"));
}

TEST_CASE("parse_manifest: an older schema names what can migrate it") {
  const std::string version = GENERATE("0", "-0", "-1", "-2147483648");
  const mad::Error error = error_from([&] { parse("{\"schema_version\": " + version + "}"); });
  CHECK(error.code == mad::ExitCode::schema);
  CHECK(error.reason == "schema-too-old");
  CHECK(says(error.hint, "mad-manifest write"));
}

TEST_CASE("parse_manifest: a sha256 that is not 64 lower-case hex digits is refused") {
  std::string upper = k_digest;
  upper[0] = 'B';
  const std::string value =
      GENERATE_COPY(as<std::string>(), "null", "5", "[]", "\"\"", "\"" + upper + "\"",
                    "\"" + k_digest.substr(1) + "\"", "\"" + k_digest + "0\"",
                    "\" " + k_digest.substr(1) + "\"", "\"0x" + k_digest.substr(2) + "\"");
  const std::string message = defect_in("{\"schema_version\": 1, \"sha256\": " + value + "}");
  CHECK(says(message, "sha256: expected a string of 64 lower-case hex digits, found "));
  CHECK(says(defect_in("{\"schema_version\": 1}"), "found no such key"));
}

TEST_CASE("parse_manifest: a size_bytes that is no length is refused") {
  const std::string value = GENERATE("-1", "1.0", "1e3", "\"810\"", "null", "true", "[]",
                                     "9223372036854775808", "18446744073709551616");
  CHECK(says(defect_in(with(", \"size_bytes\": " + value)), "size_bytes: expected an integer"));
  CHECK(parse(with(", \"size_bytes\": 9223372036854775807")).size_bytes == INT64_MAX);
  CHECK(parse(with(", \"size_bytes\": 0")).size_bytes == 0);
}

TEST_CASE("parse_manifest: an extra that is no object is refused") {
  const std::string value = GENERATE("null", "[]", "\"{}\"", "1", "NaN");
  CHECK(says(defect_in(with(", \"extra\": " + value)), "extra: expected an object, found "));
}

TEST_CASE("parse_manifest: created_at and step") {
  const Manifest manifest = parse(with(R"(, "created_at": "2026-01-31T12:00:00Z", "step": -7)"));
  CHECK(manifest.created_at == "2026-01-31T12:00:00Z");
  CHECK(manifest.step == -7);
  const Manifest nulls = parse(with(R"(, "created_at": null, "step": null, "chunks": null)"));
  CHECK_FALSE(nulls.created_at);
  CHECK_FALSE(nulls.step);
  CHECK_FALSE(nulls.chunks);
  CHECK(says(defect_in(with(R"(, "created_at": 5)")), "created_at: expected a string, found 5"));
  CHECK(says(defect_in(with(R"(, "step": 1.5)")), "step: expected an integer"));
  CHECK(says(defect_in(with(R"(, "step": 9223372036854775808)")), "step: expected an integer"));
}

TEST_CASE("parse_manifest: chunks") {
  const std::string two = "\"" + k_digest + "\", \"" + k_digest + "\"";
  const Manifest manifest = parse(with(", \"size_bytes\": 65" + chunks("64", two)));
  REQUIRE(manifest.chunks);
  CHECK(manifest.chunks->chunk_bytes == 64);
  REQUIRE(manifest.chunks->digests.size() == 2);
  CHECK(mad::to_hex(manifest.chunks->digests[1]) == k_digest);
  CHECK(parse(with(chunks("64", two))).chunks->digests.size() == 2);
  CHECK(parse(with(", \"size_bytes\": 0" + chunks("64", ""))).chunks->digests.empty());
}

TEST_CASE("parse_manifest: chunks by an algorithm of later days are no chunks") {
  CHECK_FALSE(parse(with(R"(, "chunks": {"algorithm": "blake3", "tree": [1]})")).chunks);
}

TEST_CASE("parse_manifest: chunks that contradict themselves or the size are refused") {
  const std::string one = "\"" + k_digest + "\"";
  CHECK(says(defect_in(with(", \"size_bytes\": 65" + chunks("64", one))),
             "chunks.digests: expected 2 digests for 65 bytes, found 1"));
  CHECK(says(defect_in(with(", \"size_bytes\": 0" + chunks("64", one))), "expected 0 digests"));
  CHECK(says(defect_in(with(", \"size_bytes\": 9223372036854775807" + chunks("64", one))),
             "expected 144115188075855872 digests"));
  for (const char* bytes : {"0", "-64", "63", "100", "64.0", "\"64\"", "16777280", "null"}) {
    CHECK(says(defect_in(with(chunks(bytes, one))), "chunks.chunk_bytes: expected "));
  }
  CHECK(says(defect_in(with(chunks("64", "\"" + k_digest.substr(1) + "\""))), "chunks.digests.0"));
  CHECK(says(defect_in(with(chunks("64", one + ", 5"))), "chunks.digests.1"));
  CHECK(says(defect_in(with(R"(, "chunks": [])")), "chunks: expected an object"));
  CHECK(says(defect_in(with(R"(, "chunks": {})")), "chunks.algorithm"));
  CHECK(says(defect_in(with(R"(, "chunks": {"algorithm": 5})")), "chunks.algorithm"));
  CHECK(says(defect_in(with(R"(, "chunks": {"algorithm": "sha256"})")), "chunks.chunk_bytes"));
  CHECK(says(defect_in(with(R"(, "chunks": {"algorithm": "sha256", "chunk_bytes": 64})")),
             "chunks.digests"));
}

TEST_CASE("parse_manifest: a manifest of more than 8 MiB is refused, one of 8 MiB is read") {
  std::string text = with("");
  text.append(mad::k_max_manifest_bytes - text.size(), ' ');
  CHECK(parse(text).schema_version == 1);
  const mad::Error error = error_from([&] { parse(text + ' '); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "too-large");
}

TEST_CASE("format_manifest: the reference's keys first and in its order") {
  Manifest manifest;
  manifest.sha256 = *mad::parse_hex_digest(k_digest);
  manifest.size_bytes = 65;
  manifest.extra = mad::set_extra("{}", "commit", "abc123");
  manifest.created_at = "2026-01-31T12:00:00.000Z";
  manifest.step = 42;
  manifest.chunks = mad::Chunks{64, {manifest.sha256, manifest.sha256}};
  CHECK(mad::format_manifest(manifest) == R"({
  "schema_version": 1,
  "sha256": ")" + k_digest + R"(",
  "size_bytes": 65,
  "extra": {
    "commit": "abc123"
  },
  "created_at": "2026-01-31T12:00:00.000Z",
  "step": 42,
  "chunks": {
    "algorithm": "sha256",
    "chunk_bytes": 64,
    "digests": [
      ")" + k_digest + R"(",
      ")" + k_digest + R"("
    ]
  }
}
)");
}

TEST_CASE("format_manifest: what it writes reads back the same, extra to the byte") {
  Manifest manifest;
  manifest.sha256 = *mad::parse_hex_digest(k_digest);
  manifest.size_bytes = 64;
  manifest.extra = R"({"x" :NaN,   "x":"\ud800"})";
  manifest.created_at = "not a \"date\"\n\x7F";
  manifest.step = INT64_MIN;
  manifest.chunks = mad::Chunks{64, {manifest.sha256}};
  const Manifest again = parse(mad::format_manifest(manifest));
  CHECK(again.sha256 == manifest.sha256);
  CHECK(again.size_bytes == manifest.size_bytes);
  CHECK(again.extra == manifest.extra);
  CHECK(again.created_at == manifest.created_at);
  CHECK(again.step == manifest.step);
  CHECK(again.chunks->digests == manifest.chunks->digests);
  CHECK(parse(mad::format_manifest(Manifest{})).extra == "{}");
}

TEST_CASE("format_manifest: chunks that would make it unreadable are left out") {
  Manifest manifest;
  const auto with_digests = [&](std::size_t count) {
    manifest.chunks = mad::Chunks{64, std::vector<mad::Digest>(count)};
    manifest.size_bytes = count * 64;
    const std::string text = mad::format_manifest(manifest);
    CHECK(text.size() <= mad::k_max_manifest_bytes);
    return parse(text).chunks.has_value();
  };
  constexpr std::size_t k_most = mad::k_max_manifest_bytes / 74;
  CHECK(with_digests(k_most - 100));
  CHECK_FALSE(with_digests(k_most + 1));
  CHECK_FALSE(with_digests(k_most * 2));
}

TEST_CASE("format_manifest: an extra that would make it unreadable is refused") {
  Manifest manifest;
  manifest.extra = mad::set_extra_string("{}", "x", std::string(mad::k_max_manifest_bytes, 'x'));
  const mad::Error error = error_from([&] { mad::format_manifest(manifest); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "too-large");
}

TEST_CASE("set_extra: JSON where it parses, else a string") {
  const auto value_of = [](const char* text) {
    const std::string extra = mad::set_extra("{}", "k", text);
    return extra.substr(11, extra.size() - 11 - 4);  // {\n    "k": …\n  }
  };
  CHECK(value_of("1") == "1");
  CHECK(value_of(" -1.50e3 ") == "-1.50e3");
  CHECK(value_of("123456789012345678901234567890") == "123456789012345678901234567890");
  CHECK(value_of("true") == "true");
  CHECK(value_of("null") == "null");
  CHECK(value_of("\"a\"") == "\"a\"");
  CHECK(value_of("[]") == "[]");
  CHECK(value_of("abc") == "\"abc\"");
  CHECK(value_of("") == "\"\"");
  CHECK(value_of("007") == "\"007\"");
  CHECK(value_of("NaN") == "\"NaN\"");
  CHECK(value_of("[1,") == "\"[1,\"");
  CHECK(value_of("a\"\\\n") == R"("a\"\\\n")");
  CHECK(value_of("1 2") == "\"1 2\"");
  CHECK(mad::set_extra("{}", "k", "[1,{\"a\":2}]") ==
        "{\n    \"k\": [\n      1,\n      {\n        \"a\": 2\n      }\n    ]\n  }");
}

TEST_CASE("set_extra: a key that is there is replaced in place, wherever it is there") {
  std::string extra = mad::set_extra(R"({"a": NaN, "b": "\ud800", "\u0061": 2})", "a", "3");
  CHECK(extra == "{\n    \"a\": 3,\n    \"b\": \"\\ud800\",\n    \"\\u0061\": 3\n  }");
  extra = mad::set_extra_string(extra, "c", "4");
  CHECK(says(extra, ": 3,\n    \"c\": \"4\"\n  }"));
  CHECK(mad::set_extra_string("{}", "session_id", std::nullopt) ==
        "{\n    \"session_id\": null\n  }");
}

TEST_CASE("set_extra: what is no object, or no UTF-8, is a usage error") {
  for (const char* extra : {"", "[]", "null", "{", "{} {}", "{'a': 1}"}) {
    CHECK(error_from([&] { mad::set_extra(extra, "a", "1"); }).code == mad::ExitCode::usage);
  }
  CHECK(error_from([] { mad::set_extra("{}", "\xFF", "1"); }).code == mad::ExitCode::usage);
  CHECK(error_from([] { mad::set_extra("{}", "a", "\xFF"); }).code == mad::ExitCode::usage);
  CHECK(error_from([] { mad::set_extra_string("{}", "a", "\xFF"); }).code == mad::ExitCode::usage);
}

TEST_CASE("set_extra: a value too deep for a reader is taken as a string") {
  const std::string deep(mad::k_max_json_depth, '[');
  const std::string end(mad::k_max_json_depth, ']');
  Manifest manifest;
  manifest.extra = mad::set_extra("{}", "a", deep.substr(2) + end.substr(2));
  CHECK(parse(mad::format_manifest(manifest)).extra == manifest.extra);
  manifest.extra = mad::set_extra("{}", "a", deep.substr(1) + end.substr(1));
  CHECK(parse(mad::format_manifest(manifest)).extra == manifest.extra);
  CHECK(manifest.extra.find("\"[[") != std::string::npos);
}

TEST_CASE("normal_extra: an object from a file, its tokens as they stood") {
  CHECK(mad::normal_extra("\n{\"a\":NaN}\n", "x.json") == "{\n    \"a\": NaN\n  }");
  const mad::Error error = error_from([] { mad::normal_extra("[1]", "x.json"); });
  CHECK(error.code == mad::ExitCode::usage);
  CHECK(error.subject == "x.json");
}
