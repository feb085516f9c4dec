#include "transport/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "support/catch.hpp"
#include "transport/http_client.hpp"

using namespace mad;

namespace {

bool is_metadata(const char* text) {
  sockaddr_storage storage{};
  sockaddr_in ipv4{};
  sockaddr_in6 ipv6{};
  if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    std::memcpy(&storage, &ipv4, sizeof ipv4);
  } else {
    REQUIRE(inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1);
    ipv6.sin6_family = AF_INET6;
    std::memcpy(&storage, &ipv6, sizeof ipv6);
  }
  return is_metadata_address(reinterpret_cast<const sockaddr&>(storage));
}

class NoAnswer final : public HttpHandler {
 public:
  bool head(const HttpHead&) override { return false; }
  void body(Bytes) override {}
};

}  // namespace

TEST_CASE("is_metadata_address: link-local addresses in every disguise") {
  for (const char* text : {"169.254.169.254", "169.254.0.1", "169.254.170.2", "fe80::1", "febf::1",
                           "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe",
                           "fd00:ec2::254", "100.100.100.200", "192.0.0.192"}) {
    INFO(text);
    CHECK(is_metadata(text));
  }
  for (const char* text : {"127.0.0.1", "169.253.255.255", "169.255.0.0", "10.0.0.1", "::1",
                           "fec0::1", "::ffff:10.0.0.1", "fd00:ec2::255", "2001:db8::1"}) {
    INFO(text);
    CHECK_FALSE(is_metadata(text));
  }
}

TEST_CASE("is_metadata_host: names and numbers") {
  for (const char* text : {"metadata.google.internal", "metadata.google.internal.", "2852039166",
                           "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "fe80::1"}) {
    INFO(text);
    CHECK(is_metadata_host(text));
  }
  for (const char* text : {"example.com", "127.0.0.1", "my-metadata.example", "::1"}) {
    INFO(text);
    CHECK_FALSE(is_metadata_host(text));
  }
}

TEST_CASE("HttpClient: a redirected request is stopped before it connects to a metadata address") {
  HttpClient client{TransportOptions{}};
  NoAnswer handler;
  HttpRequest request;
  // Not what check_redirect would see: as if a name had resolved there.
  request.url = parse_url("http://169.254.1.1:9/");
  request.redirected = true;
  const auto failure = client.perform(request, handler);
  REQUIRE(failure);
  CHECK_FALSE(failure->transient);
  CHECK(failure->message.find("metadata") != std::string::npos);
}
