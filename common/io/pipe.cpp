#include "io/pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/error.hpp"

namespace mad {

void widen_pipe(int fd) {
  fcntl(fd, F_SETPIPE_SZ, 1 << 20);
}

void refuse_terminal(int fd, const std::string& what) {
  if (isatty(fd) != 1) return;
  throw Error(ExitCode::usage, "usage", "usage", what,
              "the tools are joined in a pipe; see mad(7)");
}

}  // namespace mad
