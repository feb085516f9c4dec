#include <functional>
#include <random>

#include "credentials/aws_profile.hpp"
#include "credentials/azure_providers.hpp"
#include "credentials/service.hpp"
#include "credentials/time.hpp"
#include "credentials/xml.hpp"
#include "scripted_http.hpp"
#include "support/mutated.hpp"

using namespace mad;

namespace {

using namespace std::string_view_literals;

constexpr std::string_view k_bytes = "{}[]<>&;#=\"',:\\/!-x0 \t\r\n\x00\x7F\x80\xC3\xED\xFF"sv;

std::string mutated(const std::string& seed, std::mt19937& random) {
  return test::mutated(seed, k_bytes, random);
}

/// Whatever the bytes, `parse` gives a value or throws an Error that does not quote them;
/// both happen.
void check_mutations(const std::string& seed,
                     const std::function<void(const std::string&)>& parse) {
  std::mt19937 random(20260131);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = mutated(seed, random);
    try {
      parse(text);
      ++accepted;
    } catch (const Error& error) {
      ++refused;
      INFO(text);
      REQUIRE((error.reason == "credentials-invalid" || error.reason == "bad-answer"));
      REQUIRE_FALSE(test::says(error, "hunter"));
    }
  }
  CHECK(accepted > 100);
  CHECK(refused > 100);
}

}  // namespace

TEST_CASE("parse_aws_section: whatever the bytes, a section or a refusal") {
  check_mutations(
      "[default]\naws_access_key_id = hunter1\naws_secret_access_key=hunter2 # x\ns3 =\n"
      "  endpoint_url = http://h\n[profile \"a b\"]\nregion = x\n",
      [](const std::string& text) { parse_aws_section(text, "default", "f"); });
}

TEST_CASE("parse_xml: whatever the bytes, a document or a refusal") {
  check_mutations(
      "<?xml version=\"1.0\"?><!-- c --><a:R xmlns:a=\"u\"><K x='1'>hunter&amp;&#x41;</K><E/>"
      "<![CDATA[hunter]]></a:R>",
      [](const std::string& text) { parse_xml(text, "x"); });
}

TEST_CASE("JsonFields: whatever the bytes, members or a refusal") {
  check_mutations(
      R"({"type":"hunter","n":3599,"t":true,"o":{"a":[1,{"b":null}]},"s":"\u00e9hunter"})",
      [](const std::string& text) {
        const JsonFields fields(Secret::copy_of(text), "f");
        static_cast<void>(fields.find_number("n"));
        static_cast<void>(fields.find("s"));
      });
}

TEST_CASE("read_azure_connection: whatever the bytes, a connection or a refusal") {
  test::World world;
  check_mutations(
      "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=aHVudGVyMg==;"
      "EndpointSuffix=core.windows.net;SharedAccessSignature=sv=1&sig=hunter",
      [&](const std::string& text) {
        world.variables["AZURE_STORAGE_CONNECTION_STRING"] = text;
        if (const auto connection = read_azure_connection(world.surroundings())) {
          make_shared_key(connection->account, connection->key, "s");
        }
      });
}

TEST_CASE("parse_service_url, parse_timestamp: whatever the bytes, a value or nothing") {
  std::mt19937 random(20260131);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time
  int urls = 0;
  int times = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto url = parse_service_url(mutated("http://[fd00:ec2::23]:80/v1?x#y", random));
    if (url) {
      ++urls;
      REQUIRE_FALSE(url->host.empty());
      REQUIRE(url->host.find_first_of("@/\\ ") == std::string::npos);
    }
    times += parse_timestamp(mutated("2023-11-15T04:13:20.5+02:30", random)).has_value() ? 1 : 0;
  }
  CHECK(urls > 100);
  CHECK(urls < 10'000);
  CHECK(times > 20);
  CHECK(times < 10'000);
}
