#include "credentials/aws_profile.hpp"

#include "scripted_http.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::says;

namespace {

std::optional<std::string> value(const std::string& text, const std::string& section,
                                 const std::string& key) {
  const auto found = parse_aws_section(text, section, "the file");
  return found ? found->text(key) : std::nullopt;
}

}  // namespace

TEST_CASE("parse_aws_section: comments, blanks, CRLF, a BOM, keys in any case") {
  const std::string text =
      "\xEF\xBB\xBF# a comment\r\n; another\r\n\r\n[default]\r\n"
      "AWS_Access_Key_Id=AK#1;x\r\naws_secret_access_key = a/b+c=d  # mine\r\nempty =\r\n"
      "[ other ] # here\r\n  region\t=\teu-west-1 ; there\r\n  output = json\r\n";
  CHECK(value(text, "default", "aws_access_key_id") == "AK#1;x");
  CHECK(value(text, "default", "aws_secret_access_key") == "a/b+c=d");
  CHECK(value(text, "default", "empty") == std::nullopt);
  CHECK(value(text, "default", "region") == std::nullopt);
  CHECK(value(text, "other", "region") == "eu-west-1");
  CHECK(value(text, "other", "output") == "json");
  CHECK(value(text, "none", "region") == std::nullopt);
}

TEST_CASE("parse_aws_section: quoted names, a section in two places, the last value counts") {
  const std::string text =
      "[profile \"my own\"]\nregion = a\nx = 1\n[profile   b]\nregion = b\n"
      "[profile my own]\nregion = c\n";
  CHECK(value(text, "profile my own", "region") == "c");
  CHECK(value(text, "profile my own", "x") == "1");
  CHECK(value(text, "profile b", "region") == "b");
}

TEST_CASE("parse_aws_section: nested blocks; other continued lines belong to nobody") {
  const std::string text =
      "[services mine]\ns3 =\n  endpoint_url = http://h:1\n  addressing_style = path\n"
      "sts =\n  endpoint_url = http://h:2\nx = 1\n  region = no\nregion = yes\n";
  CHECK(value(text, "services mine", "s3.endpoint_url") == "http://h:1");
  CHECK(value(text, "services mine", "s3.addressing_style") == "path");
  CHECK(value(text, "services mine", "sts.endpoint_url") == "http://h:2");
  CHECK(value(text, "services mine", "endpoint_url") == std::nullopt);
  CHECK(value(text, "services mine", "region") == "yes");
}

TEST_CASE("parse_aws_section: a line that is neither is named by its number, not by its text") {
  for (const std::string& line : std::vector<std::string>{"hunter2", "[hunter2", "=hunter2",
                                                          std::string("a = hunter2\0", 12)}) {
    const Error error =
        error_from([&] { parse_aws_section("[default]\n" + line + "\n", "default", "the file"); });
    CHECK(error.code == ExitCode::access_denied);
    CHECK(error.reason == "credentials-invalid");
    CHECK(says(error, "the file: line 2"));
    CHECK_FALSE(says(error, "hunter2"));
  }
  CHECK(says(error_from([] { parse_aws_section("a = 1\n", "default", "f"); }), "line 1"));
  CHECK(says(error_from([] { parse_aws_section(std::string(100'001, '\n'), "default", "f"); }),
             "fewer lines"));
}
