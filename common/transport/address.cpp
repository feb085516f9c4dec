#include "transport/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace mad {
namespace {

bool is_metadata_ipv4(std::uint32_t address) {
  return (address & 0xFFFF0000U) == 0xA9FE0000U  // 169.254/16
         || address == 0x646464C8U               // 100.100.100.200, Alibaba
         || address == 0xC00000C0U;              // 192.0.0.192, Oracle
}

bool is_metadata_ipv6(const in6_addr& address) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &address, bytes.size());
  if (bytes[0] == 0xFE && (bytes[1] & 0xC0U) == 0x80U) return true;  // fe80::/10
  constexpr std::array<std::uint8_t, 16> k_aws = {0xFD, 0x00, 0x0E, 0xC2, 0, 0, 0,    0,
                                                  0,    0,    0,    0,    0, 0, 0x02, 0x54};
  if (bytes == k_aws) return true;
  // An IPv4 address mapped (::ffff:0:0/96), compatible (::/96) or behind NAT64 (64:ff9b::/96).
  constexpr std::array<std::array<std::uint8_t, 12>, 3> k_embedding = {
      {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, {}, {0, 0x64, 0xFF, 0x9B}}};
  for (const auto& prefix : k_embedding) {
    if (std::memcmp(bytes.data(), prefix.data(), prefix.size()) != 0) continue;
    std::uint32_t embedded = 0;
    std::memcpy(&embedded, bytes.data() + prefix.size(), sizeof embedded);
    if (is_metadata_ipv4(ntohl(embedded))) return true;
  }
  return false;
}

}  // namespace

bool is_metadata_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in ipv4{};
    std::memcpy(&ipv4, &address, sizeof ipv4);
    return is_metadata_ipv4(ntohl(ipv4.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 ipv6{};
    std::memcpy(&ipv6, &address, sizeof ipv6);
    return is_metadata_ipv6(ipv6.sin6_addr);
  }
  return false;
}

bool is_metadata_host(const std::string& host) {
  std::string name = host;
  while (!name.empty() && name.back() == '.') name.pop_back();
  if (name == "metadata.google.internal" || name == "metadata" || name == "instance-data") {
    return true;
  }
  in_addr ipv4{};
  if (inet_aton(name.c_str(), &ipv4) != 0 && is_metadata_ipv4(ntohl(ipv4.s_addr))) return true;
  in6_addr ipv6{};
  return inet_pton(AF_INET6, name.c_str(), &ipv6) == 1 && is_metadata_ipv6(ipv6);
}

}  // namespace mad
