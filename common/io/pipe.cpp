#include "io/pipe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "io/fd.hpp"

namespace mad {
namespace {

std::uint64_t copy_from_file(int out, int file, std::uint64_t offset, std::uint64_t length,
                             const std::string& subject) {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(length, std::uint64_t{512} << 10U)));
  std::uint64_t done = 0;
  while (done < length) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), length - done));
    const std::size_t n =
        pread_full(file, MutableBytes(buffer).first(want), offset + done, subject);
    write_full(out, Bytes(buffer).first(n), "standard output");
    done += n;
    if (n < want) break;
  }
  return done;
}

}  // namespace

void widen_pipe(int fd) {
  fcntl(fd, F_SETPIPE_SZ, 1 << 20);
}

bool is_without_splice(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM ||
         error == EACCES;
}

void refuse_terminal(int fd, const std::string& what) {
  if (isatty(fd) != 1) return;
  throw Error(ExitCode::usage, "usage", "usage", what,
              "the tools are joined in a pipe; see mad(7)");
}

std::uint64_t write_from_file(int out, int file, std::uint64_t offset, std::uint64_t length,
                              const std::string& subject) {
  std::uint64_t done = 0;
  while (done < length) {
    wait_ready(out, POLLOUT);
    auto at = static_cast<loff_t>(offset + done);
    const ssize_t n = splice(file, &at, out, nullptr, length - done, 0);
    if (n == 0) return done;
    if (n > 0) {
      done += static_cast<std::uint64_t>(n);
    } else if (errno == EPIPE) {
      throw Interrupted{SIGPIPE};
    } else if (is_without_splice(errno)) {
      return done + copy_from_file(out, file, offset + done, length - done, subject);
    } else if (errno != EINTR && errno != EAGAIN) {
      throw system_error("read", subject, errno);
    }
  }
  return done;
}

}  // namespace mad
