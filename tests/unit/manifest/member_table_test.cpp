#include "manifest/member_table.hpp"

#include "manifest/manifest.hpp"
#include "manifest/manifest_text.hpp"
#include "support/catch.hpp"

using mad::MemberTable;
using mad::TableMember;
using mad::test::error_from;

namespace {

std::string member(const std::string& change = "", const std::string& without = "") {
  std::string text = R"({"name": "ball/pos", "dtype": "<f8", "shape": [2], "offset": 192,)"
                     R"( "size_bytes": 16, "header_bytes": 128, "crc32": "0a1b2c3d")";
  if (!without.empty()) {
    const auto at = text.find('"' + without + '"');
    text.insert(at + 1, "x");
  }
  return text + change + "}";
}

MemberTable table_of(const std::string& list, std::optional<std::uint64_t> size_bytes = {}) {
  return mad::parse_member_table("[" + list + "]", size_bytes, "m.json");
}

void refused(const std::string& list, const std::string& words,
             std::optional<std::uint64_t> size_bytes = {}) {
  INFO(list);
  const mad::Error error = error_from([&] { table_of(list, size_bytes); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "manifest-invalid");
  INFO(error.message);
  CHECK(error.message.find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("parse_member_table: an array has all that mapping it needs") {
  const MemberTable table = table_of(member(R"(, "fortran_order": true, "later": [1])"));
  REQUIRE(table.size() == 1);
  CHECK(table[0].name == "ball/pos");
  CHECK(table[0].dtype == "<f8");
  CHECK(table[0].shape == std::vector<std::uint64_t>{2});
  CHECK(table[0].fortran_order);
  CHECK(table[0].first_byte() == 64);
  CHECK(table[0].end_byte() == 208);
  CHECK(table[0].crc32 == 0x0A1B2C3D);
  CHECK(table_of("").empty());
}

TEST_CASE("parse_member_table: of a deflated array the packed bytes lie in the npz") {
  const MemberTable table = table_of(member(R"(, "packed_bytes": 40)"));
  CHECK(table[0].first_byte() == 192);
  CHECK(table[0].end_byte() == 232);
  CHECK_FALSE(table_of(member(R"(, "packed_bytes": null)"))[0].packed_bytes);
}

TEST_CASE("parse_member_table: what is missing or of another kind is refused by its place") {
  for (const char* key :
       {"name", "dtype", "shape", "offset", "size_bytes", "header_bytes", "crc32"}) {
    refused(member("", key), std::string("members.0.") + key + ": expected a value, found no");
  }
  refused("1", "members.0: expected an object, found 1");
  refused(member() + ", []", "members.1: expected an object");
  refused(R"({"name": 1})", "members.0.name: expected a string");
  refused(R"({"name": ""})", "members.0.name: expected 1 to 1024 bytes");
  refused(R"({"dtype": null})", "members.0.dtype");
  refused(R"({"shape": 2})", "members.0.shape: expected an array");
  refused(R"({"shape": [-1]})", "members.0.shape: expected an integer");
  refused(R"({"shape": [1.0]})", "members.0.shape: expected an integer");
  refused(R"({"offset": "0"})", "members.0.offset: expected an integer");
  refused(R"({"size_bytes": -1})", "members.0.size_bytes");
  refused(R"({"crc32": 1})", "members.0.crc32: expected a string of 8");
  refused(R"({"crc32": "0A1B2C3D"})", "members.0.crc32: expected a string of 8");
  refused(R"({"fortran_order": 1})", "members.0.fortran_order");
  const auto error = error_from([] { mad::parse_member_table("{}", {}, "m.json"); });
  CHECK(error.message == "members: expected an array, found an object");
}

TEST_CASE("parse_member_table: more dimensions than NumPy has are refused") {
  std::string shape = "1";
  for (int i = 1; i < 64; ++i) shape += ",1";
  refused(R"({"shape": [)" + shape + ",1]}", "members.0.shape: expected at most 64");
  refused(R"({"shape": [)" + shape + "]}", "members.0.name");
}

TEST_CASE("parse_member_table: arrays lie within the npz, one behind the other") {
  CHECK(table_of(member(), 208).size() == 1);
  refused(member(), "members.0: expected an array between byte 0 and the end", 207);
  refused(member() + "," + member(), "members.1: expected an array between byte 208");
  refused(R"({"name": "a/b", "dtype": "<f8", "shape": [], "offset": 9223372036854775807,)"
          R"( "size_bytes": 8, "header_bytes": 0, "crc32": "00000000"})",
          "members.0.offset");
  refused(R"({"name": "a/b", "dtype": "<f8", "shape": [], "offset": 10,)"
          R"( "size_bytes": 8, "header_bytes": 11, "crc32": "00000000"})",
          "members.0.offset");
}

TEST_CASE("format_member_table: what is written is read again") {
  MemberTable table = table_of(member(R"(, "fortran_order": true)"));
  table[0].name = "a/\xC3\xA9\"";
  TableMember packed = table[0];
  packed.offset = 300;
  packed.packed_bytes = 7;
  packed.shape = {};
  packed.fortran_order = false;
  table.push_back(packed);
  const auto text = mad::format_member_table(table, 10'000);
  REQUIRE(text);
  CHECK(mad::parse_member_table(*text, 307, "m.json") == table);
  CHECK(mad::format_member_table({}, 10) == "[]");
}

TEST_CASE("format_member_table: a table that is too long is none") {
  const MemberTable table(1, table_of(member())[0]);
  const auto text = mad::format_member_table(table, 1000);
  REQUIRE(text);
  CHECK(mad::format_member_table(table, text->size()));
  CHECK_FALSE(mad::format_member_table(table, text->size() - 1));
}

TEST_CASE("manifests: arrays are compared by their names, wherever they stand") {
  const std::string start =
      R"({"schema_version": 1, "sha256": ")" + std::string(64, '0') + R"(", "members": [)";
  const std::string other = R"({"name": "heat/t.a", "dtype": "<f8", "shape": [], "offset": 400,)"
                            R"( "size_bytes": 8, "header_bytes": 128, "crc32": "00000000"})";
  std::string changed = member();
  changed.replace(changed.find("0a1b2c3d"), 8, "ffffffff");
  std::string lines;
  mad::manifest_differences(start + member() + "," + other + "]}", start + changed + "]}",
                            [&](const mad::Difference& difference) {
                              lines += std::string(difference.key) + (difference.b ? "" : " gone") +
                                       "\n";
                            });
  CHECK(lines == "members.ball/pos.crc32\nmembers.heat/t\\.a gone\n");
}

TEST_CASE("describe_manifest: a line for each array") {
  const std::string text = R"({"schema_version": 1, "sha256": ")" + std::string(64, '0') +
                           R"(", "members": [)" + member() + "]}";
  const std::string shown = mad::describe_manifest(text, "m.json");
  INFO(shown);
  CHECK(shown.find("  members         1 array\n"
                   "    name      dtype  shape  offset  bytes\n"
                   "    ball/pos  <f8    (2,)   192     16\n") != std::string::npos);
}
