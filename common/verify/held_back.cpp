#include "verify/held_back.hpp"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/deadline.hpp"
#include "io/file.hpp"
#include "io/spool.hpp"

namespace mad {
namespace {

constexpr const char* k_spool_subject = "the spool";
constexpr std::size_t k_spooled_slice_bytes = std::size_t{512} << 10U;
/// What is given back at a time.
constexpr std::uint64_t k_released_bytes = std::uint64_t{8} << 20U;

}  // namespace

HeldBack::HeldBack(const std::string& directory) {
  try {
    file_ = open_unnamed_file(directory);
  } catch (const Error& error) {
    failure_ = error;
  }
}

HeldBack::~HeldBack() {
  if (deadline_passed()) close_elsewhere(std::move(file_));
}

void HeldBack::begin() {
  if (failure_) throw Error(*failure_);
  if (ftruncate(fd(), 0) != 0 || lseek(fd(), 0, SEEK_SET) != 0) {
    throw output_error("empty", k_spool_subject, errno);
  }
}

void HeldBack::write(Bytes bytes) {
  write_full(fd(), bytes, k_spool_subject);
}

void HeldBack::release(std::uint64_t size_bytes, Sink& sink) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(k_spooled_slice_bytes);
  const MutableBytes whole(buffer.get(), k_spooled_slice_bytes);
  std::uint64_t released = 0;
  for (std::uint64_t offset = 0; offset < size_bytes;) {
    // Copied, not spliced: pages given back while they are still in the pipe may be zeroed.
    const std::size_t n = pread_full(fd(), whole, offset, k_spool_subject);
    if (n == 0) throw output_error("read back", k_spool_subject, EIO);
    sink.write(whole.first(n));
    offset += n;
    if (offset - released < k_released_bytes) continue;
    release_pages(fd(), released, offset - released);
    released = offset;
  }
}

}  // namespace mad
