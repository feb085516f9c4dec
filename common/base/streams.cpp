#include "base/streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace mad {
namespace {

std::array<bool, 3> was_closed{};

}  // namespace

bool fill_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", O_RDONLY) != fd) return false;
    was_closed[static_cast<std::size_t>(fd)] = true;
  }
  return true;
}

void let_closed_outputs_take_all() noexcept {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (!was_closed[static_cast<std::size_t>(fd)]) continue;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return;
    dup2(null, fd);
    close(null);
  }
}

}  // namespace mad
