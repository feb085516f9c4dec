#include "credentials/surroundings.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "io/file.hpp"

namespace mad {

std::optional<std::string_view> HttpAnswer::find(std::string_view name) const {
  for (const auto& [header, value] : headers) {
    if (header == name) return value;
  }
  return std::nullopt;
}

std::optional<std::string> process_environment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (value == nullptr) return std::nullopt;
  return value;
}

std::int64_t system_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void wait_for_retry(std::chrono::milliseconds time) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + time;
  for (;;) {
    check_interrupted();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return;
    pollfd wake = {interrupt_fd(), POLLIN, 0};
    poll(&wake, 1, static_cast<int>(std::min<std::int64_t>(left.count() + 1, 60'000)));
  }
}

std::optional<std::string> Surroundings::variable(const std::string& name) const {
  auto value = environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

std::string Surroundings::expand_home(const std::string& path) const {
  if (path.rfind("~/", 0) != 0) return path;
  const auto home = variable("HOME");
  return home ? *home + path.substr(1) : path;
}

std::optional<Secret> read_credentials_file(const std::string& path, FilePlace place,
                                            std::size_t max_bytes) {
  // Without HOME; not a directory of that name here.
  if (path.rfind("~/", 0) == 0) return std::nullopt;
  const std::string subject = printable(path);
  // O_NONBLOCK so that a FIFO cannot make the open hang.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    const std::string what = std::string("cannot read: ") + std::strerror(errno);
    if (errno != EACCES || place == FilePlace::named) throw invalid_credentials(subject, what);
    // As of a service that was started with the environment of another user.
    log_verbose(subject + ": " + what + "; taken for none");
    return std::nullopt;
  }
  const struct ::stat status = stat_fd(fd.get(), subject);
  if (!S_ISREG(status.st_mode)) throw invalid_credentials(subject, "expected a regular file");
  try {
    return Secret(read_small_file(fd.get(), max_bytes, subject));
  } catch (const Error& error) {
    throw invalid_credentials(subject, error.message);
  }
}

Error invalid_credentials(const std::string& subject, const std::string& what,
                          const std::string& hint) {
  return {ExitCode::access_denied, "credentials-invalid", subject, what, hint};
}

}  // namespace mad
