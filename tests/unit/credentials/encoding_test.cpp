#include "credentials/encoding.hpp"

#include "credentials/time.hpp"
#include "support/catch.hpp"

using namespace mad;

TEST_CASE("base64: the vectors of RFC 4648, section 10") {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    CHECK(base64_encode(bytes) == text);
    CHECK(base64_decode(text) == bytes);
  }
  CHECK(base64url_encode("\xFB\xFF\xBF\xFE") == "-_-__g");
}

TEST_CASE("base64_decode: anything but the alphabet, padded, is refused") {
  for (const char* text : {"Zg", "Zg=", "Zg==\n", " Zg==", "Z===", "====", "Z=g=", "Zm9-", "Zm_v",
                           "Zm9v Zm9v", "Zg==Zg=="}) {
    INFO(text);
    CHECK_FALSE(base64_decode(text).has_value());
  }
}

TEST_CASE("hmac_sha256: test cases 1, 2 and 6 of RFC 4231") {
  CHECK(to_hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(to_hex(hmac_sha256(std::string(131, '\xaa'),
                           "Test Using Larger Than Block-Size Key - Hash Key First")) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("percent_encode: all but the unreserved, upper-case hex") {
  CHECK(percent_encode("AZaz09-_.~") == "AZaz09-_.~");
  CHECK(percent_encode("a b+c/d%25\xC3\xBC'()*,") == "a%20b%2Bc%2Fd%2525%C3%BC%27%28%29%2A%2C");
  CHECK(percent_encode_path("/x/../y z") == "/x/../y%20z");
  CHECK(format_form({{"a b", "c&d"}, {"e", ""}}) == "a%20b=c%26d&e=");
}

TEST_CASE("parse_timestamp: RFC 3339 with Z, a fraction, an offset") {
  CHECK(parse_timestamp("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_timestamp("2013-05-24T00:00:00Z") == 1369353600);
  CHECK(parse_timestamp("2013-05-24T00:00:00.123456789Z") == 1369353600);
  CHECK(parse_timestamp("2013-05-24T02:30:00+02:30") == 1369353600);
  CHECK(parse_timestamp("2013-05-23T19:00:00-05:00") == 1369353600);
  for (const char* text : {"", "2013-05-24", "2013-05-24T00:00:00", "2013-5-24T00:00:00Z",
                           "2013-02-30T00:00:00Z", "2013-05-24T25:00:00Z", "2013-05-24T00:00:00.Z",
                           "2013-05-24T00:00:00Zx", "2013-05-24 00:00:00Z", "2013-13-01T00:00:00Z",
                           "2013-05-24T00:00:00+2:30", "-013-05-24T00:00:00Z"}) {
    INFO(text);
    CHECK_FALSE(parse_timestamp(text).has_value());
  }
}

TEST_CASE("format: the dates that signatures carry") {
  CHECK(format_basic_time(1369353600) == "20130524T000000Z");
  CHECK(format_http_date(1369353600) == "Fri, 24 May 2013 00:00:00 GMT");
}
