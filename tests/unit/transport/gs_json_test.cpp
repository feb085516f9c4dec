#include "transport/gs_json.hpp"

#include "base/error.hpp"
#include "support/catch.hpp"

namespace mad {
namespace {

TEST_CASE("gs_json: an object's resource gives size, generation, metadata and checksum") {
  const GsObject object = parse_gs_object(
      R"({"name":"a/b","size":"5","generation":"1700000000000001","crc32c":"AAAAAA==",)"
      R"("timeCreated":"2024-01-02T03:04:05.678Z","metadata":{"sha256":"ab","odd":7},"x":[{}]})",
      "gs://b/a/b");
  CHECK(object.name == "a/b");
  CHECK(object.info.size_bytes == 5);
  CHECK(object.info.version == "1700000000000001");
  CHECK(object.info.modified_s == 1704164645);
  CHECK(object.info.metadata == Metadata{{"sha256", "ab"}});
  CHECK(object.crc32c == "AAAAAA==");
}

TEST_CASE("gs_json: what is no resource is refused") {
  const std::string deep(100'000, '[');
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), deep,
        std::string(R"({"size":"5"})"), std::string(R"({"size":5,"generation":"1"})"),
        std::string(R"({"size":"-5","generation":"1"})"),
        std::string(R"({"size":"5","generation":"1&x=2"})"),
        std::string(R"({"size":"5","generation":"1"}x)"),
        std::string("{\"size\":\"5\",\"generation\":\"1\",\"name\":\"\xFF\"}")}) {
    CAPTURE(text.substr(0, 40));
    CHECK_THROWS_AS(parse_gs_object(text, "gs://b/k"), Error);
  }
}

TEST_CASE("gs_json: a page may be empty, and its objects have names") {
  CHECK(parse_gs_page("{}", "gs://b/").objects.empty());
  const GsPage page = parse_gs_page(
      R"({"nextPageToken":"t","items":[{"name":"k","size":"0","generation":"1"}]})", "gs://b/");
  CHECK(page.next_token == "t");
  REQUIRE(page.objects.size() == 1);
  CHECK(page.objects[0].name == "k");
  for (const char* text : {"", "[]", R"({"items":{}})", R"({"items":[7]})",
                           R"({"items":[{"size":"0","generation":"1"}]})"}) {
    CHECK_THROWS_AS(parse_gs_page(text, "gs://b/"), Error);
  }
}

TEST_CASE("gs_json: a refusal's reason is an identifier or not shown") {
  CHECK(gs_error_reason(R"({"error":{"code":403,"errors":[{"reason":"forbidden"}]}})") ==
        "forbidden");
  for (const char* text :
       {"", "No such object: b/k", "{}", "[]", R"({"error":"invalid_grant"})", R"({"error":{}})",
        R"({"error":{"errors":[]}})", R"({"error":{"errors":{"reason":"x"}}})",
        R"({"error":{"errors":["x"]}})", R"({"error":{"errors":[{"reason":7}]}})",
        R"({"error":{"errors":[{"reason":"two words"}]}})"}) {
    CHECK(gs_error_reason(text).empty());
  }
}

TEST_CASE("gs_json: what goes up is quoted, and a CRC is big-endian") {
  PutOptions options;
  options.metadata = {{"a", "\"x\\"}, {"b", "y"}};
  CHECK(format_gs_object(options, "AAAAAA==") ==
        R"({"metadata":{"a":"\"x\\","b":"y"},"contentType":"application/octet-stream",)"
        R"("crc32c":"AAAAAA=="})");
  CHECK(format_gs_metadata({}) == R"({"metadata":{}})");
  CHECK(format_crc32c(0xE3069283) == "4waSgw==");
}

}  // namespace
}  // namespace mad
