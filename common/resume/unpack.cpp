#include "resume/unpack.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "io/scratch.hpp"
#include "io/spool.hpp"
#include "npz/npz_reader.hpp"
#include "resume/journal.hpp"
#include "resume/paths.hpp"

namespace mad {
namespace {

/// Hot in the second-level cache between reading, checking and writing.
constexpr std::size_t k_buffer_bytes = std::size_t{256} << 10U;
/// What of a spent archive is given back at a time.
constexpr std::uint64_t k_released_bytes = std::uint64_t{8} << 20U;

std::string file_of(const NpzMember& member) {
  return member.key + ".npy";
}

mode_t current_umask() {
  const mode_t mask = umask(077);
  umask(mask);
  return mask;
}

struct ::stat with_mode(const struct ::stat& owner, mode_t mode) {
  struct ::stat status = owner;
  status.st_mode = mode;
  if (owner.st_mode == 0) {
    status.st_uid = geteuid();
    status.st_gid = getegid();
  }
  return status;
}

void copy_member(int archive, const NpzMember& member, int file, std::vector<std::byte>& buffer,
                 AfterUnpacking after, const std::string& subject, const std::string& about) {
  const auto source = open_member(archive, member, subject);
  std::uint64_t done = 0;
  std::uint64_t released = 0;
  while (const std::size_t n = source->read(buffer)) {
    write_full(file, Bytes(buffer).first(n), about);
    done += n;
    if (after == AfterUnpacking::archive_kept || member.method != NpzMethod::stored) continue;
    if (done - released < k_released_bytes) continue;
    release_pages(archive, member.data_offset + released, done - released);
    released = done;
  }
  if (after == AfterUnpacking::archive_spent) {
    release_pages(archive, member.data_offset + released, member.compressed_bytes - released);
  }
}

Fd open_at(int directory, const std::string& path, int flags) {
  return Fd(openat(directory, path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
}

enum class Linked { yes, no };

class Linker {
 public:
  Linker(const std::string& subject, Durability durability)
      : subject_(subject), durability_(durability) {}

  /// The nodes above `path`, some of which may be in the old state only.
  bool make_parents(const StateListing& listing, int tree, const std::string& path,
                    std::set<std::string>& touched) {
    const std::string parent = parent_of(path);
    if (!touched.insert(parent).second || parent.empty()) return true;
    if (!make_parents(listing, tree, parent, touched)) return false;
    if (mkdirat(tree, parent.c_str(), 0700) != 0) return errno == EEXIST;
    const Fd fd = open_at(tree, parent, O_RDONLY | O_DIRECTORY);
    const auto old = listing.nodes.find(parent);
    if (!fd || old == listing.nodes.end()) return false;
    inherit(fd.get(), old->second, path_in(subject_, parent));
    return true;
  }

  Linked link(int from, int tree, const std::string& path) {
    struct ::stat status {};
    if (fstatat(from, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Linked::no;
    if (S_ISDIR(status.st_mode)) return directory(from, tree, path, status);
    if (linkat(from, path.c_str(), tree, path.c_str(), 0) == 0) return Linked::yes;
    refuse_collision(path);
    return Linked::no;
  }

 private:
  void refuse_collision(const std::string& path) const {
    if (errno != EEXIST && errno != ENOTDIR) return;
    throw Error(ExitCode::refused, "state-invalid", printable(path_in(subject_, path)),
                "this is no array of the state and stands where an array is to go");
  }

  Linked directory(int from, int tree, const std::string& path, const struct ::stat& status) {
    const bool made = mkdirat(tree, path.c_str(), 0700) == 0;
    if (!made && errno == ENOTDIR) refuse_collision(path);
    if (!made && errno != EEXIST) return Linked::no;
    const Fd old = open_at(from, path, O_RDONLY | O_DIRECTORY);
    const Fd fresh = open_at(tree, path, O_RDONLY | O_DIRECTORY);
    if (!fresh) refuse_collision(path);
    if (!old || !fresh || is_mount_root(old.get())) return Linked::no;
    std::vector<std::string> names;
    try {
      names = list_directory(old.get(), path_in(subject_, path));
    } catch (const Error&) {
      return Linked::no;  // it went meanwhile, or cannot be read: then it stays where it is
    }
    for (const std::string& name : names) {
      if (link(old.get(), fresh.get(), name) == Linked::no) return Linked::no;
    }
    if (made) inherit(fresh.get(), status, path_in(subject_, path));
    sync_fd(fresh.get(), path_in(subject_, path), durability_);
    return Linked::yes;
  }

  const std::string& subject_;
  Durability durability_;
};

}  // namespace

void require_distinct_paths(const NpzMembers& members, const std::string& subject) {
  std::set<std::string> files;
  for (const NpzMember& member : members) {
    if (is_hidden(member.key)) {
      throw Error(
          ExitCode::refused, "member-name", printable(subject) + ": " + printable(member.key),
          "expected no component that begins with '.', which is no part of a state on disk");
    }
    if (!files.insert(file_of(member)).second) {
      throw Error(ExitCode::refused, "member-duplicate",
                  printable(subject) + ": " + printable(member.key), "is there twice");
    }
  }
  for (const std::string& file : files) {
    for (std::string at = parent_of(file); !at.empty(); at = parent_of(at)) {
      if (files.count(at) == 0) continue;
      throw Error(ExitCode::refused, "member-collision", printable(subject),
                  "'" + printable(file) + "' and '" + printable(at) +
                      "' cannot both be files: one would be a directory of the other");
    }
  }
}

void inherit(int fd, const struct ::stat& from, const std::string& subject) {
  const struct ::stat now = stat_fd(fd, subject);
  if ((now.st_uid != from.st_uid || now.st_gid != from.st_gid) &&
      fchown(fd, from.st_uid, from.st_gid) != 0 && errno != EPERM) {
    throw output_error("set the owner of", subject, errno);
  }
  set_mode(fd, from.st_mode & 07777U, subject);
}

void unpack_members(int tree, int archive, const NpzMembers& members,
                    const Inheritance& inheritance, AfterUnpacking after, Durability durability,
                    const std::string& subject) {
  const mode_t mask = current_umask();
  const struct ::stat new_file = with_mode(inheritance.top, 0666U & ~mask);
  const struct ::stat new_directory = with_mode(inheritance.top, 0777U & ~mask);
  const auto& before = inheritance.before;

  std::vector<std::byte> buffer(k_buffer_bytes);
  std::set<std::string> directories;
  for (const NpzMember& member : members) {
    const std::string path = file_of(member);
    if (directories.count(parent_of(path)) == 0) {
      make_directories(tree, parent_of(path), subject);
      for (std::string at = parent_of(path); directories.insert(at).second;) at = parent_of(at);
    }
    Fd file =
        Fd(openat(tree, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    const std::string about = path_in(subject, path);
    if (!file && errno == EEXIST) {
      // A file system that does not tell upper case from lower, say.
      throw Error(ExitCode::refused, "member-collision", printable(about),
                  "another array has this file name already");
    }
    if (!file) throw output_error("create", about, errno);
    copy_member(archive, member, file.get(), buffer, after, subject, about);
    const auto old = before.arrays.find(path);
    inherit(file.get(), old == before.arrays.end() ? new_file : old->second, about);
    file.close(about);
  }

  // Afterwards, so that the writing back of all files overlaps.
  for (const NpzMember& member : members) {
    if (durability == Durability::none) break;
    const Fd file = open_at(tree, file_of(member), O_RDONLY);
    if (!file) throw output_error("open", subject + ": " + file_of(member), errno);
    sync_fd(file.get(), subject + ": " + file_of(member), durability);
  }
  directories.insert("");
  for (auto path = directories.rbegin(); path != directories.rend(); ++path) {
    const Fd fd = path->empty() ? Fd(dup(tree)) : open_at(tree, *path, O_RDONLY | O_DIRECTORY);
    if (!fd) throw output_error("open the directory", subject + ": " + *path, errno);
    if (!path->empty()) {
      const auto old = before.nodes.find(*path);
      inherit(fd.get(), old == before.nodes.end() ? new_directory : old->second, subject);
    }
    sync_fd(fd.get(), subject + ": " + *path, durability);
  }
}

bool link_others(int from, const StateListing& listing, int tree, Durability durability,
                 const std::string& subject) {
  Linker linker(subject, durability);
  std::set<std::string> touched;
  for (const std::string& path : listing.others) {
    if (!linker.make_parents(listing, tree, path, touched) ||
        linker.link(from, tree, path) == Linked::no) {
      return false;
    }
  }
  for (const std::string& path : touched) {
    const Fd fd = open_at(tree, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
    if (!fd) return false;
    sync_fd(fd.get(), path_in(subject, path), durability);
  }
  return true;
}

}  // namespace mad
