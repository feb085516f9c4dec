#include "io/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.hpp"

namespace mad {

std::string spool_directory() {
  const char* chosen = std::getenv("TMPDIR");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp";
}

Fd open_unnamed_file(const std::string& directory) {
  const std::string place = directory.empty() ? spool_directory() : directory;
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
