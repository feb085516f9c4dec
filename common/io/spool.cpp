#include "io/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.hpp"

namespace mad {

Fd open_unnamed_file(const std::string& directory) {
  std::string place = directory;
  if (place.empty()) {
    const char* chosen = std::getenv("TMPDIR");
    place = chosen != nullptr && *chosen != '\0' ? chosen
            : access("/var/tmp", W_OK) == 0      ? "/var/tmp"
                                                 : "/tmp";
  }
  Fd fd(open(place.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  // Not every file system has O_TMPFILE.
  std::string name = place + "/.mad-spool-XXXXXX";
  fd = Fd(mkostemp(name.data(), O_CLOEXEC));
  if (!fd) throw output_error("create a temporary in", place, errno);
  if (unlink(name.c_str()) != 0) throw output_error("unlink", name, errno);
  return fd;
}

void release_pages(int temporary, std::uint64_t offset, std::uint64_t length) {
  (void)fallocate(temporary, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length));
}

}  // namespace mad
