#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>

#include <memory>

namespace mad {

/// Owners of what OpenSSL makes.
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct ContextFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using BioHandle = std::unique_ptr<BIO, BioFree>;
using KeyHandle = std::unique_ptr<EVP_PKEY, KeyFree>;
using DigestContextHandle = std::unique_ptr<EVP_MD_CTX, ContextFree>;

}  // namespace mad
