#include "io/source.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"

namespace mad {

std::size_t Source::read_into_file(int file, std::uint64_t offset, std::size_t most,
                                   const std::string& subject) {
  std::array<std::byte, std::size_t{64} << 10U> buffer;
  const MutableBytes room = MutableBytes(buffer).first(std::min(most, buffer.size()));
  const std::size_t n = read(room);
  pwrite_full(file, room.first(n), offset, subject);
  return n;
}

std::size_t FdSource::read_into_file(int file, std::uint64_t offset, std::size_t most,
                                     const std::string& subject) {
  while (can_splice_) {
    wait_ready(fd_, POLLIN);
    auto at = static_cast<loff_t>(offset);
    const ssize_t n = splice(fd_, nullptr, file, &at, most, 0);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINVAL) {
      can_splice_ = false;  // no pipe, or a file system without it
    } else if (errno != EINTR && errno != EAGAIN) {
      throw output_error("write", subject, errno);
    }
  }
  return Source::read_into_file(file, offset, most, subject);
}

}  // namespace mad
