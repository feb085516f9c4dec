// Known answers: the examples of "Signature Calculations for the Authorization Header" and
// "Authenticating Requests: Using Query Parameters" in Amazon S3's API reference
// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and
// sigv4-query-string-auth.html), whose credentials are Amazon's own examples.
#include "credentials/sigv4.hpp"

#include "support/catch.hpp"

using namespace mad;

namespace {

constexpr const char* k_empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr SigningTime k_time = {1369353600, 0};  // 2013-05-24T00:00:00Z

AwsCredentials example_credentials() {
  AwsCredentials credentials;
  credentials.access_key_id = "AKIAIOSFODNN7EXAMPLE";
  credentials.secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
  return credentials;
}

AwsRequest example_request(std::string method, std::string path) {
  AwsRequest request;
  request.method = std::move(method);
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = std::move(path);
  request.payload_hash = k_empty;
  return request;
}

std::string header_of(const AwsRequest& request, const std::string& name,
                      const AwsCredentials& credentials = example_credentials(),
                      const SigningTime& time = k_time) {
  for (const auto& [header, value] : sign_aws(request, credentials, {"us-east-1"}, time)) {
    if (header == name) return value;
  }
  return {};
}

std::string signature_of(const AwsRequest& request) {
  const std::string header = header_of(request, "Authorization");
  return header.substr(header.rfind('=') + 1);
}

}  // namespace

TEST_CASE("sign_aws: Amazon's example GET Object") {
  AwsRequest request = example_request("GET", "/test.txt");
  request.headers = {{"Range", "bytes=0-9"}};
  CHECK(header_of(request, "Authorization") ==
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  CHECK(header_of(request, "x-amz-date") == "20130524T000000Z");
  CHECK(header_of(request, "x-amz-content-sha256") == k_empty);
}

TEST_CASE("sign_aws: Amazon's example PUT Object, its key encoded and its payload hashed") {
  AwsRequest request = example_request("PUT", percent_encode_path("/test$file.text"));
  request.headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  request.payload_hash = to_hex(Sha256::of(as_bytes("Welcome to Amazon S3.")));
  CHECK(signature_of(request) ==
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_CASE("sign_aws: Amazon's example GET Bucket Lifecycle, a parameter without value") {
  AwsRequest request = example_request("GET", "/");
  request.query = aws_query({{"lifecycle", ""}});
  CHECK(signature_of(request) ==
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_CASE("sign_aws: Amazon's example List Objects, its parameters sorted") {
  AwsRequest request = example_request("GET", "/");
  request.query = aws_query({{"prefix", "J"}, {"max-keys", "2"}});
  CHECK(signature_of(request) ==
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_CASE("presign_aws: Amazon's example, valid for a day") {
  const Secret query = presign_aws(example_request("GET", "/test.txt"), {}, example_credentials(),
                                   {"us-east-1"}, k_time, 86'400);
  CHECK(query.reveal() ==
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST_CASE("sign_aws: a session token is sent and signed, as botocore signs it") {
  // Computed with botocore 1.43.11 (S3SigV4Auth, payload signing on) from the URL
  // http://localhost:8000/bucket/a%20b%2Bc%C3%BC/x/../y?partNumber=2&uploadId=a%2Fb%2Bc%3D
  AwsCredentials credentials = example_credentials();
  credentials.session_token = Secret("FwoGZXIvYXdzEXAMPLE//token==");
  AwsRequest request;
  request.method = "PUT";
  request.host = "localhost:8000";
  request.path = percent_encode_path("/bucket/a b+c\xC3\xBC/x/../y");
  request.query = aws_query({{"uploadId", "a/b+c="}, {"partNumber", "2"}});
  request.headers = {{"Content-MD5", "  abc== "}};
  request.payload_hash = to_hex(Sha256::of(as_bytes("Welcome to Amazon S3.")));
  const auto headers = sign_aws(request, credentials, {"eu-west-1"}, k_time);
  REQUIRE(headers.size() == 4);
  CHECK(headers[2].first == "x-amz-security-token");
  CHECK(headers[2].second == "FwoGZXIvYXdzEXAMPLE//token==");
  CHECK(headers[3].second ==
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/eu-west-1/s3/aws4_request, "
        "SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, "
        "Signature=1579f3b2ffa7d07820914f8387b7c97b6fc607ee61a43d3a2f5f306b96b9ff5f");
}

TEST_CASE("sign_aws: the server's clock counts, not this machine's") {
  const AwsRequest request = example_request("GET", "/test.txt");
  CHECK(header_of(request, "x-amz-date", example_credentials(), {1369353600 - 3600, 3600}) ==
        "20130524T000000Z");
}

TEST_CASE("sign_aws: anonymous requests carry nothing") {
  CHECK(sign_aws(example_request("GET", "/"), AwsCredentials{}, {"us-east-1"}, k_time).empty());
}

TEST_CASE("aws_query: encoded first, sorted then, a '=' everywhere") {
  CHECK(aws_query({{"uploads", ""}}) == "uploads=");
  CHECK(aws_query({{"b", "2"}, {"a", "z"}, {"a", "+"}, {"A", "/"}}) == "A=%2F&a=%2B&a=z&b=2");
}
