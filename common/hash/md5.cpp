#include "hash/md5.hpp"

#include <openssl/evp.h>

#include <stdexcept>

namespace mad {

Md5 md5_of(Bytes bytes) {
  Md5 digest{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_md5(), nullptr) != 1 ||
      length != digest.size()) {
    throw std::runtime_error("OpenSSL gives no MD5");
  }
  return digest;
}

}  // namespace mad
