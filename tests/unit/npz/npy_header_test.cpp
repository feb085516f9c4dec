#include "npz/npy_header.hpp"

#include "unit/npz/archive_builder.hpp"

namespace mad::test {
namespace {

NpyHeader parse(const std::string& bytes) {
  return parse_npy_header(as_bytes(bytes), "a/b.npy");
}
NpyHeader parse_descr(const std::string& descr) {
  return parse(npy(descr, "(3,)", ""));
}
Error refusal(const std::string& bytes) {
  return error_from([&] { parse(bytes); });
}

std::string in_version(int major, const std::string& text) {
  std::string out("\x93NUMPY", 6);
  out += static_cast<char>(major);
  out += '\0';
  if (major == 1) {
    zip::put16(out, text.size());
  } else {
    zip::put32(out, text.size());
  }
  return out + text;
}

const std::string k_plain = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }\n";

}  // namespace

TEST_CASE("parse_npy_header reads order, shape and sizes in versions 1.0, 2.0 and 3.0") {
  for (const int major : {1, 2, 3}) {
    const std::string bytes = in_version(major, k_plain);
    const NpyHeader header = parse(bytes + "data");
    CHECK(header.descr == "'<f8'");
    CHECK(header.fortran_order);
    CHECK(header.shape == std::vector<std::uint64_t>{2, 3});
    CHECK(header.item_bytes == 8);
    CHECK(header.header_bytes == bytes.size());
    CHECK(header.data_bytes == 48);
    CHECK(npy_header_bytes_needed(as_bytes(bytes)) == bytes.size());
  }
}

TEST_CASE("parse_npy_header knows the dtypes that NumPy writes, and their sizes") {
  struct Known {
    std::string descr;
    std::uint64_t item_bytes;
    std::string text;
  };
  // Text and size as NumPy 1.24 gives them for the dtype that it reads.
  const std::vector<Known> all = {
      {"'|b1'", 1, "'|b1'"},
      {"'|i1'", 1, "'|i1'"},
      {"'<u2'", 2, "'<u2'"},
      {"'>i8'", 8, "'>i8'"},
      {"'<f2'", 2, "'<f2'"},
      {"'<f16'", 16, "'<f16'"},
      {"'<c32'", 32, "'<c32'"},
      {"'|S5'", 5, "'|S5'"},
      {"'|S0'", 0, "'|S0'"},
      {"'<U3'", 12, "'<U3'"},
      {"'>U0'", 0, "'>U0'"},
      {"'|V7'", 7, "'|V7'"},
      {"'<V2'", 2, "'<V2'"},
      {"'<M8'", 8, "'<M8'"},
      {"'<M8[ns]'", 8, "'<M8[ns]'"},
      {"'>m8[25s]'", 8, "'>m8[25s]'"},
      {"'<M8[generic]'", 8, "'<M8'"},
      {"'=f8'", 8, "'<f8'"},
      {"'f8'", 8, "'<f8'"},
      {"'<u1'", 1, "'|u1'"},
      {"'a3'", 3, "'|S3'"},
      {"\"<f8\"", 8, "'<f8'"},
      {"u'<f8'", 8, "'<f8'"},
      {"[]", 0, "[]"},
      {"[('x','<f4'),  ('y', '<i2', (3,)),]", 10, "[('x', '<f4'), ('y', '<i2', (3,))]"},
      {"[('a', '|i1'), ('', '|V7'), ('b', '<f8')]", 16,
       "[('a', '|i1'), ('', '|V7'), ('b', '<f8')]"},
      {"[('', '|V3'), ('a', '|i1'), ('', '|V3')]", 7, "[('', '|V3'), ('a', '|i1'), ('', '|V3')]"},
      {"[(('title', 'name'), '<i4')]", 4, "[(('title', 'name'), '<i4')]"},
      {"[('n', [('q', '>c8'), ('r', '|S3', (2, 2))], 2)]", 40,
       "[('n', [('q', '>c8'), ('r', '|S3', (2, 2))], (2,))]"},
      {"[('a', ('<f4', (2,)), (3,))]", 24, "[('a', ('<f4', (2,)), (3,))]"},
      {R"([('q\'uo"te\n\x00\u65e5', '<i4')])", 4, "[('q\\'uo\"te\\n\\x00\xE6\x97\xA5', '<i4')]"},
      {R"([("it's", '<i4')])", 4, "[(\"it's\", '<i4')]"},
      {R"([('\101\\', '<i4')])", 4, "[('A\\\\', '<i4')]"},
      {"[('\xE9', '<i4')]", 4, "[('\xC3\xA9', '<i4')]"},
  };
  for (const Known& known : all) {
    INFO(known.descr);
    const NpyHeader header = parse_descr(known.descr);
    CHECK(header.descr == known.text);
    CHECK(header.item_bytes == known.item_bytes);
    CHECK(header.data_bytes == 3 * known.item_bytes);
    // The text is a fixed point, in 3.0's UTF-8 too.
    CHECK(
        parse(in_version(3, "{'descr': " + header.descr + ", 'fortran_order': False, 'shape': ()}"))
            .descr == header.descr);
  }
}

TEST_CASE("parse_npy_header refuses objects, wherever they are") {
  for (const char* descr : {"'|O'", "'O'", "'|O8'", "[('a', '<f8'), ('b', '|O')]",
                            "[('a', [('b', '|O')], (2,))]", "('|O', (2,))"}) {
    INFO(descr);
    const Error error = refusal(npy(descr, "()", ""));
    CHECK(error.code == ExitCode::refused);
    CHECK(error.reason == "npy-object");
    CHECK(error.subject == "a/b.npy");
    CHECK(error.message.find("objects") != std::string::npos);
  }
}

TEST_CASE("parse_npy_header refuses dtypes that NumPy does not write") {
  struct Bad {
    std::string descr;
    std::string what;
  };
  const std::vector<Bad> all = {
      {"''", "type such as"},
      {"'<'", "type such as"},
      {"'<f3'", "found '<f3'"},
      {"'<f'", "found '<f'"},
      {"'<f08'", "found '<f08'"},
      {"'float64'", "found 'float64'"},
      {"'<f8,<i4'", "found '<f8,<i4'"},
      {"'(2,)f8'", "type such as"},
      {"'<f8[ns]'", "type such as"},
      {"'<M8[parsec]'", "type such as"},
      {"'<M8[0s]'", "type such as"},
      {"'<M8[ns'", "type such as"},
      {"'<M4'", "type such as"},
      {"'<\xFF'", "type such as"},
      {"'<U4294967297'", "at most 2147483647 bytes"},
      {"'<U536870912'", "at most 2147483647 bytes"},
      {"'|V99999999999999999999999'", "at most 2147483647 bytes"},
      {"[('a', '|V2147483647'), ('b', '|V2147483647')]", "at most 2147483647 bytes"},
      {"('<f8', (65536, 65536))", "subarray"},
      {"('<f8', (0, 65536, 65536))", "subarray"},
      {"('<f4', (2, 0))", "no subarray"},
      {"('<f8', (1,))", "no subarray"},
      {"[('a', '<f8', (-1,))]", "expected"},
      {"[('a', '<f8', ('x',))]", "subarray's shape"},
      {"[('a', '<f8'), ('a', '<f8')]", "found 'a' twice"},
      {"[(('a', 'b'), '<f8'), ('a', '<f8')]", "found 'a' twice"},
      {"[('a',)]", "(name, type)"},
      {"['<f8']", "(name, type)"},
      {"[(1, '<f8')]", "field's name"},
      {"3", "type string"},
      {"{}", "type string"},
  };
  for (const Bad& bad : all) {
    const Error error = refusal(npy(bad.descr, "()", ""));
    INFO(bad.descr << " -> " << error.message);
    CHECK(error.code == ExitCode::refused);
    CHECK(error.reason == "npy-invalid");
    CHECK(error.message.find(bad.what) != std::string::npos);
  }
}

TEST_CASE("parse_npy_header reads shapes, Python 2's among them") {
  const auto shape_of = [](const std::string& shape) { return parse(npy("'|u1'", shape, "")); };
  CHECK(shape_of("()").shape.empty());
  CHECK(shape_of("()").data_bytes == 1);
  CHECK(shape_of("(3,)").data_bytes == 3);
  CHECK(shape_of("(3L, 4L)").data_bytes == 12);
  CHECK(shape_of("(0, 9223372036854775807)").data_bytes == 0);
  CHECK(shape_of("(9223372036854775807,)").data_bytes == 9223372036854775807U);
  CHECK(format_shape({}) == "()");
  CHECK(format_shape({3}) == "(3,)");
  CHECK(format_shape({2, 3}) == "(2, 3)");
}

TEST_CASE("parse_npy_header refuses shapes that are none or overflow") {
  std::string long_shape = "(";
  for (int i = 0; i < 65; ++i) long_shape += "1, ";
  for (const std::string& shape :
       {std::string("3"), std::string("(3)"), std::string("[3]"), std::string("(3.0,)"),
        std::string("(-1,)"), std::string("(True,)"), std::string("('3',)"), std::string("(03,)"),
        std::string("(0x3,)"), std::string("(9223372036854775808,)"),
        std::string("(4294967296, 4294967296)"), std::string("(0, 4294967296, 4294967296)"),
        long_shape + ")"}) {
    const Error error = refusal(npy("'|u1'", shape, ""));
    INFO(shape << " -> " << error.message);
    CHECK(error.reason == "npy-invalid");
  }
  CHECK(
      refusal(npy("'<f8'", "(2305843009213693952,)", "")).message.find("(2305843009213693952,)") !=
      std::string::npos);
  // Python 2 wrote no 3.0.
  CHECK(refusal(in_version(3, "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,)}")).reason ==
        "npy-invalid");
}

TEST_CASE("parse_npy_header refuses headers that are no dictionary of the three keys") {
  struct Bad {
    std::string text;
    std::string what;
  };
  const std::vector<Bad> all = {
      {"", "found its end"},
      {"(1, 2)", "dictionary"},
      {"{'descr': '<f8', 'fortran_order': False}", "no shape"},
      {"{'descr': '<f8', 'shape': ()}", "no fortran_order"},
      {"{'fortran_order': False, 'shape': ()}", "no descr"},
      {"{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", "'descr' twice"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (), 'x': 1}", "'x' too"},
      {"{'descr': '<f8', 'fortran_order': 0, 'shape': ()}", "True or False"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': ()} x", "the end of the header"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': ()", "a comma"},
      {"{'descr': '<f8' 'fortran_order': False, 'shape': ()}", "a comma"},
      {"{'descr' '<f8', 'fortran_order': False, 'shape': ()}", "a colon"},
      {"{'descr': '<f8, 'fortran_order': False, 'shape': ()}", "a comma"},
      {"{'descr': '<f8\n', 'fortran_order': False, 'shape': ()}", "closing quote"},
      {R"({'descr': '\N{DASH}', 'fortran_order': False, 'shape': ()})", "escape sequence"},
      {R"({'descr': '\xZZ', 'fortran_order': False, 'shape': ()})", "escape sequence"},
      {"{'descr': b'<f8', 'fortran_order': False, 'shape': ()}", "a string, an integer"},
      {"{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}", "a string, an integer"},
      {"{'descr': '<f8', 'fortran_order': Falsehood, 'shape': ()}", "a string, an integer"},
      {std::string("{'descr': '<f8\0', 'fortran_order': False, 'shape': ()}", 54), "closing quote"},
      {std::string(5000, '('), "levels of nesting"},
      {std::string(5000, '['), "levels of nesting"},
  };
  for (const Bad& bad : all) {
    for (const int major : {1, 3}) {
      const Error error = refusal(in_version(major, bad.text));
      INFO(bad.text.substr(0, 80) << " -> " << error.message);
      CHECK(error.code == ExitCode::refused);
      CHECK(error.reason == "npy-invalid");
      CHECK(error.message.find(bad.what) != std::string::npos);
    }
  }
}

TEST_CASE("parse_npy_header refuses other magic, versions and cut headers") {
  const std::string good = in_version(1, k_plain);
  for (std::size_t length = 0; length < good.size(); ++length) {
    CHECK(refusal(good.substr(0, length)).reason == "npy-invalid");
  }
  for (const std::size_t at : {0U, 1U, 5U, 6U, 7U}) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
    CHECK(refusal(bytes).reason == "npy-invalid");
  }
  CHECK(refusal(in_version(4, k_plain)).message.find("version 4.0") != std::string::npos);
  CHECK(refusal(in_version(3, "{'descr': '\xFF'}")).message.find("UTF-8") != std::string::npos);
  CHECK(refusal("PK\3\4 something").message.find("'PK\\x03\\x04 s'") != std::string::npos);
}

TEST_CASE("parse_npy_header bounds the header's length in characters, as NumPy does") {
  const auto padded = [](std::size_t length) {
    std::string text = k_plain;
    text.insert(text.size() - 1, length - text.size(), ' ');
    return text;
  };
  CHECK(parse(in_version(2, padded(10'000))).data_bytes == 48);
  CHECK(refusal(in_version(2, padded(10'001))).message.find("found 10001") != std::string::npos);
  std::string huge = in_version(2, k_plain);
  poke(huge, 8, 0xFFFFFFFF, 4);
  CHECK(refusal(huge).message.find("found 4294967295") != std::string::npos);
  CHECK(npy_header_bytes_needed(as_bytes(huge)) == k_max_npy_header_bytes);

  // 9,000 characters, 26,000 bytes.
  std::string name;
  for (int i = 0; i < 8900; ++i) name += "\xE6\x97\xA5";
  const std::string text =
      "{'descr': [('" + name + "', '<f4')], 'fortran_order': False, 'shape': (2,), }\n";
  const std::string bytes = in_version(3, text);
  CHECK(parse(bytes).data_bytes == 8);
  CHECK(npy_header_bytes_needed(as_bytes(bytes)) == bytes.size());
}

}  // namespace mad::test
