#include "io/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"

namespace mad {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "no regular file";
}

Error not_regular(const std::string& subject, mode_t mode) {
  return {ExitCode::refused, "not-regular", printable(subject),
          std::string("expected a regular file, found ") + kind_of(mode)};
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

std::string temporary_prefix(const std::string& final_name) {
  // Names are at most 255 bytes; the temporary's must fit too.
  return "." + final_name.substr(0, 200) + ".mad-";
}

}  // namespace

std::string random_suffix() {
  std::array<unsigned char, k_random_suffix_length> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw output_error("read", "random numbers", errno);
  }
  constexpr std::string_view k_letters = "abcdefghijklmnopqrstuvwxyz234567";
  std::string suffix;
  for (const unsigned char byte : bytes) suffix += k_letters[byte & 31U];
  return suffix;
}

void check_replaceable(const std::string& path) {
  struct ::stat there {};
  if (lstat(path.c_str(), &there) != 0 || S_ISREG(there.st_mode) || S_ISLNK(there.st_mode)) return;
  throw not_regular(path, there.st_mode);
}

Fd open_regular(const std::string& path) {
  return open_regular_at(AT_FDCWD, path, path);
}

Fd open_regular_at(int directory, const std::string& name, const std::string& subject) {
  // O_NONBLOCK so that a FIFO cannot make the open hang.
  Fd fd(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    const int failure = errno;
    struct ::stat status {};
    if ((failure == ELOOP || failure == ENXIO) &&
        fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(status.st_mode)) {
      throw not_regular(subject, status.st_mode);
    }
    throw system_error("open", subject, failure);
  }
  const struct ::stat status = stat_fd(fd.get(), subject);
  if (!S_ISREG(status.st_mode)) throw not_regular(subject, status.st_mode);
  return fd;
}

Fd open_directory(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw system_error("open the directory", path, errno);
  return fd;
}

bool is_directory(const std::string& path) {
  struct ::stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

struct ::stat stat_fd(int fd, const std::string& subject) {
  struct ::stat status {};
  if (fstat(fd, &status) != 0) throw system_error("stat", subject, errno);
  return status;
}

std::string read_small_file(int fd, std::size_t max_bytes, const std::string& subject) {
  std::string text;
  std::array<std::byte, 65536> buffer;
  for (;;) {
    const std::size_t n = read_some(fd, buffer, subject);
    if (n == 0) return text;
    if (n > max_bytes - text.size()) {
      throw Error(ExitCode::refused, "too-large", printable(subject),
                  "expected at most " + std::to_string(max_bytes) + " bytes, found more");
    }
    text.append(as_text(Bytes(buffer).first(n)));
  }
}

std::string without_last_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

SplitPath split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::string absolute_path(const std::string& path) {
  if (!path.empty() && path[0] == '/') return path;
  const std::unique_ptr<char, decltype(&std::free)> here(getcwd(nullptr, 0), &std::free);
  if (!here) throw system_error("find", "the current directory", errno);
  return std::string(here.get()) + '/' + path;
}

void set_mode(int fd, mode_t mode, const std::string& subject) {
  if (fchmod(fd, mode) == 0) return;
  const int failure = errno;
  if (failure != EPERM && failure != EOPNOTSUPP && failure != ENOSYS && failure != EINVAL) {
    throw output_error("set the mode of", subject, failure);
  }
  log_verbose(printable(subject) + ": its mode cannot be set here, and is left as it is");
}

void sync_fd(int fd, const std::string& subject, Durability durability) {
  if (durability == Durability::none) return;
  while (fsync(fd) != 0) {
    if (errno == EINVAL || errno == EROFS) return;
    if (errno != EINTR) throw output_error("sync", subject, errno);
    check_interrupted();
  }
}

void close_elsewhere(Fd file) noexcept {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
  const Fd waits(ends[0]);
  const Fd lets_go(ends[1]);
  const auto holder = fork();
  if (holder != 0) {
    file = Fd();
    return;  // and closes the pipe after it
  }

  // From here on async-signal-safe calls only.  Nobody shall wait for a pipe that this process
  // holds, and it must not let go before its parent has.
  for (int fd = 0; fd < 3; ++fd) {
    if (fd != file.get() && fd != waits.get()) close(fd);
  }
  close(lets_go.get());
  const auto low = static_cast<unsigned>(std::min(file.get(), waits.get()));
  const auto high = static_cast<unsigned>(std::max(file.get(), waits.get()));
  if (low > 3) syscall(SYS_close_range, 3U, low - 1, 0U);
  if (high > low + 1) syscall(SYS_close_range, low + 1, high - 1, 0U);
  syscall(SYS_close_range, high + 1, ~0U, 0U);
  char end = 0;
  while (read(waits.get(), &end, 1) < 0 && errno == EINTR) {
  }
  _exit(0);
}

void lock_directory(int directory, LockMode mode, int timeout_ms, const std::string& subject) {
  const int operation = (mode == LockMode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  bool said = false;
  while (flock(directory, operation) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      log_verbose(printable(subject) + ": this file system has no locks; going on without");
      return;
    }
    check_interrupted();
    if (std::chrono::steady_clock::now() >= end) {
      throw Error(ExitCode::io, "lock-timeout", printable(subject),
                  "another process holds the lock on this directory; waited " +
                      std::to_string(timeout_ms) + " ms",
                  "find it with 'fuser " + printable(subject) + "'");
    }
    if (!said) log_verbose(printable(subject) + ": waiting for the lock");
    said = true;
    pollfd wake = {interrupt_fd(), POLLIN, 0};
    poll(&wake, 1, 10);
  }
}

void unlock_directory(int directory) {
  flock(directory, LOCK_UN);
}

Temporary create_temporary(int directory, const std::string& final_name,
                           const std::string& subject) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string name = temporary_prefix(final_name) + random_suffix();
    Fd fd(
        openat(directory, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd) {
      // A cleaner may have come between the open and the lock: then try again, whether
      // it has the lock still, and will unlink, or has unlinked already.
      if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
      struct ::stat mine {};
      struct ::stat named {};
      if (fstat(fd.get(), &mine) == 0 &&
          fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
          mine.st_ino == named.st_ino) {
        return {std::move(fd), name};
      }
    } else if (errno != EEXIST) {
      const int failure = errno;
      if (failure == EINTR) check_interrupted();
      throw output_error("create a temporary beside", subject, failure);
    }
  }
  throw Error(ExitCode::io, "io-error", printable(subject), "cannot create a temporary beside it");
}

void remove_dead_temporaries(int directory, const std::string& final_name) {
  const std::string prefix = temporary_prefix(final_name);
  for (const std::string& name : list_directory(directory, "the directory of " + final_name)) {
    if (name.size() != prefix.size() + k_random_suffix_length ||
        name.compare(0, prefix.size(), prefix) != 0) {
      continue;
    }
    const Fd fd(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0 &&
        unlinkat(directory, name.c_str(), 0) == 0) {
      log_verbose("removed " + printable(name) + ", left behind by a writer that died");
    }
  }
}

std::vector<std::string> list_directory(int directory, const std::string& subject) {
  Fd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) throw system_error("list", subject, errno);
  const std::unique_ptr<DIR, DirectoryCloser> stream(fdopendir(copy.get()));
  if (!stream) throw system_error("list", subject, errno);
  copy.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) throw system_error("list", subject, errno);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace mad
