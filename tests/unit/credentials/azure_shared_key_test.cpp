// Known answers: strings written out by hand from "Authorize with Shared Key" in Azure
// Storage's reference; their signatures computed by Python,
//   base64.b64encode(hmac.new(base64.b64decode(KEY), TEXT.encode(), hashlib.sha256).digest())
// with the account and key that Azure publishes for its emulator.
#include "credentials/azure_shared_key.hpp"

#include "support/catch.hpp"

using namespace mad;

namespace {

AzureSharedKey example_key(const std::string& account) {
  return {account, Secret(*base64_decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVE"
                                         "rCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="))};
}

AzureRequest put_block() {
  AzureRequest request;
  request.method = "PUT";
  request.path = percent_encode_path("/mycontainer/my blob.npz");
  request.query = {{"Timeout", "30"}, {"comp", "block"}, {"blockid", "AAA="}};
  request.headers = {{"x-ms-version", "2021-08-06"},
                     {"Content-Length", "11"},
                     {"Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww=="},
                     {"Content-Type", "application/octet-stream"},
                     {"If-None-Match", "*"},
                     {"User-Agent", "not signed"},
                     {"x-ms-meta-sha256", " abc "},
                     {"X-Ms-Blob-Type", "BlockBlob"}};
  return request;
}

constexpr std::int64_t k_moment = 1'435'361'952;  // Fri, 26 Jun 2015 23:39:12 GMT

}  // namespace

TEST_CASE("azure_string_to_sign: method, eleven headers, sorted x-ms-, the resource") {
  AzureRequest request = put_block();
  request.headers.emplace_back("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT");
  CHECK(azure_string_to_sign("myaccount", request) ==
        "PUT\n\n\n11\nXrY7u+Ae7tCTyyK7j1rNww==\napplication/octet-stream\n\n\n\n*\n\n\n"
        "x-ms-blob-type:BlockBlob\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
        "x-ms-meta-sha256:abc\nx-ms-version:2021-08-06\n"
        "/myaccount/mycontainer/my%20blob.npz\nblockid:AAA=\ncomp:block\ntimeout:30");
}

TEST_CASE("sign_azure: the signature of a PUT that Python computes") {
  const auto headers = sign_azure(put_block(), example_key("myaccount"), k_moment);
  REQUIRE(headers.size() == 2);
  CHECK(headers[0].first == "x-ms-date");
  CHECK(headers[0].second == "Fri, 26 Jun 2015 23:39:12 GMT");
  CHECK(headers[1].second == "SharedKey myaccount:1Pulx1fEw8VK+wC/snfLc0RUqIWmn2Q6w2cHSmeGiYY=");
}

TEST_CASE("sign_azure: the emulator's account stands in the resource twice") {
  AzureRequest request;
  request.method = "GET";
  request.path = "/devstoreaccount1/c/b";
  request.headers = {{"Range", "bytes=0-9"}, {"x-ms-version", "2021-08-06"}};
  CHECK(sign_azure(request, example_key("devstoreaccount1"), k_moment)[1].second ==
        "SharedKey devstoreaccount1:IYFwT4N4o/3KclXZlk/PPvs/6SjHn7y6oH2zqLrDuWM=");
}

TEST_CASE("azure_string_to_sign: a length of 0 is signed as nothing, a Date beside x-ms-date not") {
  AzureRequest request;
  request.method = "PUT";
  request.path = "/c/b";
  request.query = {{"b", "2"}, {"b", "1"}};
  request.headers = {{"Content-Length", "0"}, {"Date", "yesterday"}, {"x-ms-date", "now"}};
  CHECK(azure_string_to_sign("a", request) ==
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:now\n/a/c/b\nb:1,2");
}
