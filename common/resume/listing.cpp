#include "resume/listing.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/scratch.hpp"
#include "npz/npy_header.hpp"
#include "resume/paths.hpp"

namespace mad {
namespace {

constexpr std::string_view k_suffix = ".npy";
constexpr int k_max_depth = 512;

bool is_array_name(const std::string& name) {
  return name.size() > k_suffix.size() &&
         std::string_view(name).substr(name.size() - k_suffix.size()) == k_suffix;
}

class Walk {
 public:
  Walk(StateListing& listing, const std::string& subject) : listing_(listing), subject_(subject) {}

  /// Whether an array was found at or under `prefix`.
  bool directory(int fd, const std::string& prefix, int depth) {
    if (depth > k_max_depth) {
      throw Error(ExitCode::refused, "state-invalid", printable(path_in(subject_, prefix)),
                  "directories are nested too deeply");
    }
    bool found = false;
    std::vector<std::string> others;
    for (const std::string& name : list_directory(fd, path_in(subject_, prefix))) {
      std::string path = prefix;
      if (!path.empty()) {
        path += '/';
      }
      path += name;
      switch (entry(fd, name, path, depth)) {
        case Kind::array:
          found = true;
          break;
        case Kind::other:
          others.push_back(path);
          break;
        case Kind::gone:
          break;
      }
    }
    // Where there is no array, the directory itself is the entry.
    if (found || prefix.empty()) {
      listing_.others.insert(listing_.others.end(), others.begin(), others.end());
    }
    return found;
  }

 private:
  enum class Kind { array, other, gone };

  Kind entry(int parent, const std::string& name, const std::string& path, int depth) {
    struct ::stat status {};
    if (fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      // Scratch directories of other runs come and go without the state's lock.
      if (errno == ENOENT && prefixed_by_dot(name)) return Kind::gone;
      throw system_error("stat", path_in(subject_, path), errno);
    }
    if (S_ISREG(status.st_mode)) {
      if (prefixed_by_dot(name) || depth == 0 || !is_array_name(name)) return Kind::other;
      listing_.arrays.emplace(path, status);
      return Kind::array;
    }
    if (!S_ISDIR(status.st_mode)) return Kind::other;
    const Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      if (errno == ENOENT && prefixed_by_dot(name)) return Kind::gone;
      throw system_error("open the directory", path_in(subject_, path), errno);
    }
    if (is_mount_root(fd.get())) listing_.has_mounts = true;
    if (prefixed_by_dot(name)) return Kind::other;
    if (!directory(fd.get(), path, depth + 1)) return Kind::other;
    listing_.nodes.emplace(path, status);
    return Kind::array;
  }

  static bool prefixed_by_dot(const std::string& name) { return name[0] == '.'; }

  StateListing& listing_;
  const std::string& subject_;
};

}  // namespace

StateListing list_state(int directory, const std::string& subject) {
  StateListing listing;
  Walk(listing, subject).directory(directory, "", 0);
  std::sort(listing.others.begin(), listing.others.end());
  return listing;
}

Topology topology_of(int directory, const StateListing& listing, const std::string& subject) {
  Topology topology;
  std::vector<std::byte> head(k_max_npy_header_bytes);
  for (const auto& [path, status] : listing.arrays) {
    const std::string about = path_in(subject, path);
    const Fd file = open_regular_at(directory, path, about);
    const std::size_t n = pread_full(file.get(), head, 0, about);
    const NpyHeader header = parse_npy_header(Bytes(head).first(n), about);
    topology.emplace(path.substr(0, path.size() - k_suffix.size()),
                     ArrayType{header.descr, header.shape});
  }
  return topology;
}

}  // namespace mad
