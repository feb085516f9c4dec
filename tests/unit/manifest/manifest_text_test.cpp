#include "manifest/manifest_text.hpp"

#include "manifest/json_text.hpp"
#include "support/catch.hpp"

namespace {

const std::string k_some_digest =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string k_other = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string with(const std::string& digest, const std::string& keys) {
  return R"({"schema_version": 1, "sha256": ")" + digest + "\"" + keys + "}";
}

/// `KEY A|B` a line.
std::string differences(const std::string& a, const std::string& b) {
  std::string text;
  const auto line = [](const std::optional<std::string_view>& json) {
    return json ? mad::compact_json(*json) : "-";
  };
  mad::manifest_differences(a, b, [&](const mad::Difference& each) {
    text += std::string(each.key) + ' ' + line(each.a) + '|' + line(each.b) + '\n';
  });
  return text;
}

}  // namespace

TEST_CASE("describe_manifest: a row for what it says") {
  CHECK(mad::describe_manifest(
            with(k_some_digest,
                 R"(, "size_bytes": 2048, "created_at": "2026-01-31T12:00:00Z",)"
                 R"( "step": 42, "x": 1, "members": [], "extra": {"a":[1,NaN]}, "chunks":)"
                 R"( {"algorithm": "sha256", "chunk_bytes": 4096, "digests": [")" +
                     k_some_digest + R"("]})"),
            "m.json") ==
        "m.json\n"
        "  schema version  1\n"
        "  SHA-256         " +
            k_some_digest +
            "\n"
            "  size            2048 bytes (2.00 KiB)\n"
            "  created at      2026-01-31T12:00:00Z\n"
            "  step            42\n"
            "  chunks          1 digest of 4.00 KiB each\n"
            "  members         0 arrays\n"
            "  other keys      x\n"
            "  extra           {\n    \"a\": [\n      1,\n      NaN\n    ]\n  }\n");
}

TEST_CASE("describe_manifest: says what is not there, and what it does not know") {
  const std::string text = mad::describe_manifest(
      with(k_some_digest, R"(, "chunks": {"algorithm": "blake3"})"), "m.json");
  CHECK(text.find("size            not said") != std::string::npos);
  CHECK(text.find("by \"blake3\", which this reader does not know") != std::string::npos);
}

TEST_CASE("describe_manifest: nothing in it can steer a terminal") {
  // U+009B is a control sequence introducer, U+202E turns the writing round.
  const std::string text =
      mad::describe_manifest(with(k_some_digest,
                                  ", \"extra\": {\"\xC2\x9B"
                                  "2J\": \"\x7F\xE2\x80\xAE\"},"
                                  " \"created_at\": \"\\u001b[2J\", \"\\u001b]0;x\\u0007\": 1"),
                             "a\x1B"
                             "b");
  for (const char* steering : {"\x1B", "\x7F", "\xC2\x9B", "\xE2\x80\xAE", "\x07"}) {
    CHECK(text.find(steering) == std::string::npos);
  }
}

TEST_CASE("describe_topology: columns") {
  CHECK(mad::describe_topology({{"ball/pos", {"'<f8'", {2}}},
                                {"b/x", {"[('x', '<f4')]", {6, 10}}},
                                {"c/y", {"'<i8'", {}}}}) ==
        "b/x       [('x', '<f4')]  (6, 10)\n"
        "ball/pos  <f8             (2,)\n"
        "c/y       <i8             ()\n");
}

TEST_CASE("manifest_differences: the same in other blanks, order and escapes is the same") {
  CHECK(differences(with(k_some_digest, R"(, "extra": {"a": 1, "b": [1, {"x": "é"}], "s": "é"})"),
                    with(k_some_digest, R"(,"extra":{"s":"\u00e9","b":[1,{"x":"é"}],"a":1})"))
            .empty());
}

TEST_CASE("manifest_differences: in the first's order, then what only the second has") {
  CHECK(differences(
            with(k_some_digest, R"(, "extra": {"a": {"b.c": 1, "d": 2}, "gone": NaN, "s": "x"})"),
            with(k_other,
                 R"(, "extra": {"new": [1,2], "s": 1, "a": {"d": 2, "b.c": 3}}, "step": 5)")) ==
        "sha256 \"" + k_some_digest + "\"|\"" + k_other +
            "\"\n"
            "extra.a.b\\.c 1|3\n"
            "extra.gone NaN|-\n"
            "extra.s \"x\"|1\n"
            "extra.new -|[1, 2]\n"
            "step -|5\n");
}

TEST_CASE("manifest_differences: of two keys of one name the last counts") {
  CHECK(differences(with(k_some_digest, R"(, "extra": {"a": 1, "a": 2})"),
                    with(k_some_digest, R"(, "extra": {"a": 2})"))
            .empty());
  CHECK(differences(with(k_some_digest, R"(, "extra": {"a": 1, "b": 0, "\u0061": 3})"),
                    with(k_some_digest, R"(, "extra": {"c": 1, "a": 2, "c": 4})")) ==
        "extra.a 3|2\nextra.b 0|-\nextra.c -|4\n");
}

TEST_CASE("manifest_differences: two different halves of surrogate pairs differ") {
  CHECK(differences(with(k_some_digest, R"(, "extra": {"a": "\ud800"})"),
                    with(k_some_digest, R"(, "extra": {"a": "\ud801"})")) ==
        "extra.a \"\\ud800\"|\"\\ud801\"\n");
}

TEST_CASE("manifest_differences: chunks are counted, not listed") {
  const auto chunks = [&](const std::string& digests) {
    return with(
        k_some_digest,
        R"(, "chunks": {"algorithm": "sha256", "chunk_bytes": 64, "digests": [)" + digests + "]}");
  };
  const std::string one = "\"" + k_some_digest + "\"";
  const std::string two = "\"" + k_other + "\"";
  CHECK(differences(chunks(one + ", " + one + ", " + one), chunks(one + ',' + two)) ==
        "chunks.digests \"3 digests, 2 differ, the first is number 1\"|"
        "\"2 digests, 2 differ, the first is number 1\"\n");
}

TEST_CASE("topology_entries_that_differ: both sides, _meta left out") {
  std::vector<std::string> list;
  mad::topology_entries_that_differ(
      {{"_meta/n", {"'<i8'", {}}}, {"a/x", {"'<f8'", {2}}}, {"a/y", {"'<f8'", {}}}},
      {{"a/x", {"'<f4'", {2}}}, {"a/y", {"'<f8'", {}}}, {"b/z", {"'<f8'", {}}}},
      [&](const mad::Difference& each) {
        list.push_back(std::string(each.key) + ' ' + std::string(each.a.value_or("-")) + '|' +
                       std::string(each.b.value_or("-")));
      });
  REQUIRE(list.size() == 2);
  CHECK(list[0] == R"(a/x {"dtype": "<f8", "shape": [2]}|{"dtype": "<f4", "shape": [2]})");
  CHECK(list[1] == R"(b/z -|{"dtype": "<f8", "shape": []})");
}
