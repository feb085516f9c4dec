#include "npz/state_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "io/file.hpp"
#include "npz/npz_member.hpp"

namespace mad {
namespace {

constexpr std::string_view k_npy_ending = ".npy";
constexpr int k_max_directories = 64;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

StateArray::Stamp stamp_of(const struct ::stat& status) {
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

const char* kind_of(mode_t mode) {
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

[[noreturn]] void invalid_state(const std::string& subject, const std::string& what,
                                const std::string& hint = {}) {
  throw Error(ExitCode::refused, "state-invalid", printable(subject), what, hint);
}

[[noreturn]] void changed(const std::string& subject, const std::string& what) {
  throw Error(ExitCode::refused, "state-changed", printable(subject),
              "changed while it was read: " + what,
              "hold the program still meanwhile (mad-snapshot --pause PID), or let it write a "
              "second directory and switch a symbolic link");
}

/// Calls `visit(directory, name, relative path, status)` for every file of the state.
template <class Visit>
void walk(int directory, const std::string& root, const std::string& relative, int depth,
          const Visit& visit) {
  const std::string here = relative.empty() ? root : root + '/' + relative;
  for (const std::string& name : list_directory(directory, here)) {
    if (name.front() == '.') continue;
    std::string path = relative;
    if (!path.empty()) path += '/';
    path += name;
    std::string subject = root;
    subject += '/';
    subject += path;
    struct ::stat status {};
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) changed(subject, "it disappeared");
      throw system_error("stat", subject, errno);
    }
    if (S_ISDIR(status.st_mode)) {
      if (depth == k_max_directories) {
        invalid_state(subject, "expected at most " + std::to_string(k_max_directories) +
                                   " levels of directories, found more");
      }
      const Fd below(
          openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
      if (!below) {
        if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR) {
          changed(subject, "it was replaced");
        }
        throw system_error("open the directory", subject, errno);
      }
      walk(below.get(), root, path, depth + 1, visit);
    } else if (S_ISREG(status.st_mode)) {
      visit(directory, name, path, status);
    } else {
      invalid_state(subject, std::string("expected a directory or a .npy file, found ") +
                                 kind_of(status.st_mode));
    }
  }
}

/// `node/field` of a file's path, which it is held to be.
std::string key_of(const std::string& path, const std::string& subject) {
  if (path.size() <= k_npy_ending.size() ||
      path.compare(path.size() - k_npy_ending.size(), k_npy_ending.size(), k_npy_ending) != 0) {
    invalid_state(subject, "expected a file NODE/FIELD.npy, found one without .npy",
                  "only what has a name that begins with '.' may stay beside the arrays");
  }
  std::string key = path.substr(0, path.size() - k_npy_ending.size());
  if (const std::string defect = key_defect(key); !defect.empty()) {
    invalid_state(subject, "expected a file NODE/FIELD.npy, but " + defect);
  }
  return key;
}

NpyHeader read_header(int fd, std::uint64_t size_bytes, const std::string& subject) {
  constexpr std::size_t k_usual_bytes = 512;
  const std::string about = printable(subject);
  std::vector<std::byte> start(k_usual_bytes);
  std::size_t filled = pread_full(fd, start, 0, subject);
  const std::size_t needed =
      npy_header_bytes_needed(Bytes(start).first(std::min(filled, k_npy_preamble_bytes)));
  if (needed > start.size()) {
    start.resize(needed);
    filled = pread_full(fd, start, 0, subject);
  }
  NpyHeader header = parse_npy_header(Bytes(start).first(filled), about);
  if (header.data_bytes > size_bytes || header.header_bytes != size_bytes - header.data_bytes) {
    throw Error(ExitCode::refused, "npy-size", about,
                "expected " + std::to_string(header.header_bytes) + " bytes of header and " +
                    std::to_string(header.data_bytes) + " of data (" + header.descr + ", shape " +
                    format_shape(header.shape) + "), found " + std::to_string(size_bytes) +
                    " bytes in all");
  }
  return header;
}

Fd open_root(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) return fd;
  if (errno == ENOENT) {
    throw Error(ExitCode::not_found, "state-missing", printable(path),
                "expected a state directory, found nothing");
  }
  if (errno == ENOTDIR) invalid_state(path, "expected a state directory, found something else");
  throw system_error("open the directory", path, errno);
}

}  // namespace

StateTree::StateTree(const std::string& path) : path_(path), directory_(open_root(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  walk(directory_.get(), path_, "", 0,
       [&](int directory, const std::string& name, const std::string& relative,
           const struct ::stat&) {
         const std::string subject = path_ + '/' + relative;
         StateArray array;
         array.key = key_of(relative, subject);
         const Fd fd = open_regular_at(directory, name, subject);
         const struct ::stat status = stat_fd(fd.get(), subject);
         array.size_bytes = static_cast<std::uint64_t>(status.st_size);
         array.header = read_header(fd.get(), array.size_bytes, subject);
         array.stamp = stamp_of(status);
         arrays_.push_back(std::move(array));
       });
  std::sort(arrays_.begin(), arrays_.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
}

std::vector<std::string> StateTree::put_first(const std::vector<std::string>& keys) {
  std::vector<std::string> missing;
  auto next = arrays_.begin();
  for (const std::string& key : keys) {
    const auto at = std::find_if(arrays_.begin(), arrays_.end(),
                                 [&](const StateArray& array) { return array.key == key; });
    if (at == arrays_.end()) missing.push_back(key);
    if (at == arrays_.end() || at < next) continue;
    std::rotate(next, at, at + 1);
    ++next;
  }
  return missing;
}

Fd StateTree::open(const StateArray& array) const {
  const std::string subject = path_ + '/' + array.key + std::string(k_npy_ending);
  Fd directory(openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string rest = array.key + std::string(k_npy_ending);
  // One component at a time, so that no link planted meanwhile is followed.
  for (auto slash = rest.find('/'); directory && slash != std::string::npos;
       slash = rest.find('/')) {
    directory = Fd(openat(directory.get(), rest.substr(0, slash).c_str(),
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    rest.erase(0, slash + 1);
  }
  Fd fd;
  if (directory) {
    fd = Fd(openat(directory.get(), rest.c_str(),
                   O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  }
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO) {
      changed(subject, "it was removed or replaced");
    }
    throw system_error("open", subject, errno);
  }
  if (stamp_of(stat_fd(fd.get(), subject)) != array.stamp)
    changed(subject, "inode, size or time stamps differ");
  return fd;
}

void StateTree::check_unchanged() const {
  std::size_t files = 0;
  std::vector<const StateArray*> sorted;
  sorted.reserve(arrays_.size());
  for (const StateArray& array : arrays_) sorted.push_back(&array);
  std::sort(sorted.begin(), sorted.end(),
            [](const StateArray* a, const StateArray* b) { return a->key < b->key; });
  walk(directory_.get(), path_, "", 0,
       [&](int, const std::string&, const std::string& relative, const struct ::stat& status) {
         const std::string subject = path_ + '/' + relative;
         const std::string key = relative.size() > k_npy_ending.size()
                                     ? relative.substr(0, relative.size() - k_npy_ending.size())
                                     : relative;
         const auto at = std::lower_bound(sorted.begin(), sorted.end(), key,
                                          [](const StateArray* array, const std::string& wanted) {
                                            return array->key < wanted;
                                          });
         if (at == sorted.end() || (*at)->key + std::string(k_npy_ending) != relative) {
           changed(subject, "it is new");
         }
         if (stamp_of(status) != (*at)->stamp) {
           changed(subject, "inode, size or time stamps differ");
         }
         ++files;
       });
  if (files != arrays_.size()) {
    changed(path_,
            "it has " + std::to_string(files) + " arrays, not " + std::to_string(arrays_.size()));
  }
}

}  // namespace mad
