#include <cerrno>

#include "base/error.hpp"
#include "base/report.hpp"
#include "base/text.hpp"
#include "support/catch.hpp"

namespace mad {
namespace {

TEST_CASE("Error: says subject first, and its lines as one for a log") {
  const Error error(ExitCode::refused, "sha256-mismatch", "sim.npz",
                    "SHA-256 mismatch\n  manifest: 41\n  file:     90");
  CHECK(std::string(error.what()) == "sim.npz: SHA-256 mismatch\n  manifest: 41\n  file:     90");
  CHECK(error.one_line() == "sim.npz: SHA-256 mismatch; manifest: 41; file:     90");
}

TEST_CASE("system_error: tells missing, full and forbidden apart") {
  CHECK(system_error("open", "x", ENOENT).code == ExitCode::not_found);
  CHECK(output_error("open", "x", ENOENT).code == ExitCode::io);
  CHECK(system_error("write", "x", ENOSPC).reason == "no-space");
  CHECK(system_error("write", "x", EROFS).reason == "permission");
  CHECK(system_error("write", "x", EIO).reason == "io-error");
}

TEST_CASE("printable: lets no control byte, bad UTF-8 or text reversal reach a terminal") {
  CHECK(printable("plain ü日本") == "plain ü日本");
  CHECK(printable("a\033[2Jb") == "a\\x1b[2Jb");
  CHECK(printable("a\nb\x7f") == "a\\x0ab\\x7f");
  CHECK(printable("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");
  CHECK(printable("a\u202eb") == "a\\xe2\\x80\\xaeb");
  CHECK(printable("abcdef", 3) == "abc…");
}

TEST_CASE("utf8_length: knows overlong forms, surrogates and the end of Unicode") {
  CHECK(utf8_length("é") == 2);
  CHECK(utf8_length("\xf0\x9f\x98\x80") == 4);
  CHECK(utf8_length("\xc0\x80") == 0);
  CHECK(utf8_length("\xed\xa0\x80") == 0);
  CHECK(utf8_length("\xf4\x90\x80\x80") == 0);
  CHECK(utf8_length("\xe2\x82") == 0);
  CHECK(utf8_length("") == 0);
}

TEST_CASE("json_quote: escapes what JSON wants escaped and replaces what is not UTF-8") {
  CHECK(json_quote("a\"b\\c\n\x01") == R"("a\"b\\c\n\u0001")");
  CHECK(json_quote("\xff") == "\"\xEF\xBF\xBD\"");
  CHECK(json_quote("ü") == "\"ü\"");
}

TEST_CASE("shell_quote: gives one word of sh whatever it holds") {
  CHECK(shell_quote("it's; $(x)") == R"('it'\''s; $(x)')");
}

TEST_CASE("parse_decimal and parse_size: take whole numbers that fit and nothing else") {
  CHECK(parse_decimal("18446744073709551615") == 18446744073709551615U);
  CHECK_FALSE(parse_decimal("18446744073709551616"));
  CHECK_FALSE(parse_decimal(""));
  CHECK_FALSE(parse_decimal("-1"));
  CHECK_FALSE(parse_decimal(" 1"));
  CHECK(parse_size("4096") == 4096U);
  CHECK(parse_size("64K") == 65536U);
  CHECK(parse_size("2MiB") == 2U << 20U);
  CHECK(parse_size("3gB") == std::uint64_t{3} << 30U);
  CHECK_FALSE(parse_size("3x"));
  CHECK_FALSE(parse_size("K"));
  CHECK_FALSE(parse_size("99999999999999T"));
}

TEST_CASE("Report: keeps its keys in the order in which they were first set") {
  Report report;
  report.set_status("ok");
  report.set("size_bytes", std::uint64_t{810});
  report.set("path", "a\"b");
  report.set("size_bytes", std::uint64_t{811});
  const std::string text = report.format("mad-verify", ExitCode::ok);
  CHECK(text.find(R"("status":"ok","code":0,"reason":null,"size_bytes":811,"path":"a\"b"})") !=
        std::string::npos);
}

}  // namespace
}  // namespace mad
