#include "credentials/secret.hpp"

#include <openssl/crypto.h>
#include <sys/mman.h>

#include <cstring>
#include <new>

namespace mad {

class Secret::Memory {
 public:
  explicit Memory(std::string_view text) : size_(text.size()) {
    // Pages of its own: MADV_DONTDUMP knows nothing smaller.
    void* const pages =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    madvise(pages, size_, MADV_DONTDUMP);
    std::memcpy(pages, text.data(), size_);
    bytes_ = static_cast<char*>(pages);
  }
  ~Memory() {
    OPENSSL_cleanse(bytes_, size_);
    munmap(bytes_, size_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::string_view text() const { return {bytes_, size_}; }

 private:
  char* bytes_ = nullptr;
  std::size_t size_;
};

Secret::Secret(std::string&& text) {
  *this = copy_of(text);
  wipe(text);
}

Secret Secret::copy_of(std::string_view text) {
  Secret secret;
  if (!text.empty()) secret.memory_ = std::make_shared<const Memory>(text);
  return secret;
}

std::string_view Secret::reveal() const {
  return memory_ ? memory_->text() : std::string_view();
}

bool operator==(const Secret& a, const Secret& b) {
  const std::string_view left = a.reveal();
  const std::string_view right = b.reveal();
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

void wipe(std::string& text) noexcept {
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace mad
