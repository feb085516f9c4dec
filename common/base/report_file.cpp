#include "base/report_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

std::optional<int> named_descriptor(std::string_view path) {
  constexpr std::string_view k_numbered = "/dev/fd/";
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  if (path.substr(0, k_numbered.size()) != k_numbered) return std::nullopt;
  const auto number = parse_decimal(path.substr(k_numbered.size()));
  if (!number || *number > 0xFFFF) return std::nullopt;
  return static_cast<int>(*number);
}

/// An errno value; 0 when all is written.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

int write_into(const std::string& path, std::string_view text) {
  // O_NONBLOCK: a FIFO that nobody reads is an error, not a wait.
  const int fd = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  int failure = fcntl(fd, F_SETFL, 0) == 0 ? 0 : errno;
  if (failure == 0) failure = write_all(fd, text);
  if (close(fd) != 0 && failure == 0) failure = errno;
  return failure;
}

int replace(const std::string& path, std::string_view text) {
  std::string temporary = path + ".mad-XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return errno;
  (void)fchmod(fd, 0644);  // not every file system has modes
  int failure = write_all(fd, text);
  if (close(fd) != 0 && failure == 0) failure = errno;
  if (failure == 0 && rename(temporary.c_str(), path.c_str()) != 0) failure = errno;
  if (failure != 0) unlink(temporary.c_str());
  return failure;
}

int write_anywhere(const std::string& path, std::string_view text) {
  if (const auto descriptor = named_descriptor(path)) {
    std::fflush(stdout);
    return write_all(*descriptor, text);
  }
  struct ::stat status {};
  if (lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)) {
    return replace(path, text);
  }
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) return write_into(path, text);
  return ENXIO;
}

}  // namespace

void write_report_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  const int failure = write_anywhere(path, text);
  if (failure != 0) log_warning(output_error("write the report", path, failure).what());
}

}  // namespace mad
