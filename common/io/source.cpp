#include "io/source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "io/pipe.hpp"

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
  while (can_splice_ && open_relay()) {
    wait_ready(fd_, POLLIN);
    const ssize_t n = splice(fd_, nullptr, relay_in_.get(), nullptr, most, 0);
    if (n >= 0) {
      empty_relay(file, offset, static_cast<std::size_t>(n), subject);
      return static_cast<std::size_t>(n);
    }
    if (is_without_splice(errno)) {
      can_splice_ = false;
    } else if (errno != EINTR && errno != EAGAIN) {
      throw system_error("read", subject_, errno);
    }
  }
  return Source::read_into_file(file, offset, most, subject);
}

bool FdSource::open_relay() {
  if (relay_in_) return true;
  std::array<int, 2> ends{};
  can_splice_ = pipe2(ends.data(), O_CLOEXEC) == 0;
  if (!can_splice_) return false;
  relay_out_ = Fd(ends[0]);
  relay_in_ = Fd(ends[1]);
  widen_pipe(ends[1]);
  return true;
}

void FdSource::empty_relay(int file, std::uint64_t offset, std::size_t length,
                           const std::string& subject) {
  while (length > 0 && can_splice_) {
    auto at = static_cast<loff_t>(offset);
    const ssize_t n = splice(relay_out_.get(), nullptr, file, &at, length, 0);
    if (n > 0) {
      offset += static_cast<std::uint64_t>(n);
      length -= static_cast<std::size_t>(n);
    } else if (n < 0 && is_without_splice(errno)) {
      can_splice_ = false;
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
      throw output_error("write", subject, errno);
    }
  }
  std::array<std::byte, std::size_t{64} << 10U> buffer;
  while (length > 0) {
    const std::size_t n = read_some(
        relay_out_.get(), MutableBytes(buffer).first(std::min(length, buffer.size())), subject_);
    pwrite_full(file, Bytes(buffer).first(n), offset, subject);
    offset += n;
    length -= n;
  }
}

}  // namespace mad
