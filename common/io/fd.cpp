#include "io/fd.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/error.hpp"
#include "base/interrupt.hpp"

namespace mad {

void wait_ready(int fd, short events) {
  std::array<pollfd, 2> both = {{{fd, events, 0}, {interrupt_fd(), POLLIN, 0}}};
  for (;;) {
    check_interrupted();
    const int ready = poll(both.data(), both.size(), -1);
    // Again: a signal that came together with the end of the input wins.
    check_interrupted();
    if (ready > 0 && both[0].revents != 0) return;
  }
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

void Fd::close(const std::string& subject) {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) throw output_error("close", subject, errno);
}

std::size_t read_some(int fd, MutableBytes into, const std::string& subject) {
  for (;;) {
    wait_ready(fd, POLLIN);
    const ssize_t n = read(fd, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR && errno != EAGAIN) throw system_error("read", subject, errno);
  }
}

std::size_t read_full(int fd, MutableBytes into, const std::string& subject) {
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t n = read_some(fd, into.subspan(done), subject);
    if (n == 0) break;
    done += n;
  }
  return done;
}

std::size_t pread_full(int fd, MutableBytes into, std::uint64_t offset,
                       const std::string& subject) {
  std::size_t done = 0;
  while (done < into.size()) {
    check_interrupted();
    const ssize_t n =
        pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (n == 0) break;
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      throw system_error("read", subject, errno);
    }
  }
  return done;
}

void write_full(int fd, Bytes bytes, const std::string& subject) {
  while (!bytes.empty()) {
    wait_ready(fd, POLLOUT);
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EPIPE) {
      throw Interrupted{SIGPIPE};
    } else if (errno != EINTR && errno != EAGAIN) {
      throw output_error("write", subject, errno);
    }
  }
}

void pwrite_full(int fd, Bytes bytes, std::uint64_t offset, const std::string& subject) {
  while (!bytes.empty()) {
    check_interrupted();
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    } else if (errno != EINTR) {
      throw output_error("write", subject, errno);
    }
  }
}

}  // namespace mad
