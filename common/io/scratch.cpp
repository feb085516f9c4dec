#include "io/scratch.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

std::string scratch_prefix(const std::string& made_for) {
  // Names are at most 255 bytes; the scratch directory's must fit too.
  return "." + made_for.substr(0, 200) + ".mad-";
}

Fd open_directory_at(int parent, const std::string& name) {
  return Fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// Whether `name` still stands for what `fd` has open: between an open and the lock a
/// cleaner, or the owner's rename, may have come.
bool still_named(int fd, int parent, const std::string& name) {
  struct ::stat mine {};
  struct ::stat named {};
  return fstat(fd, &mine) == 0 && fstatat(parent, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

bool remove_contents(int directory) {
  bool all = true;
  for (const std::string& name : list_directory(directory, "a directory to be removed")) {
    all = remove_tree(directory, name) && all;
  }
  return all;
}

}  // namespace

std::string scratch_name(const std::string& made_for) {
  return scratch_prefix(made_for) + random_suffix();
}

bool is_scratch_name(const std::string& name, const std::string& made_for) {
  const std::string prefix = scratch_prefix(made_for);
  return name.size() == prefix.size() + k_random_suffix_length &&
         name.compare(0, prefix.size(), prefix) == 0;
}

bool is_mount_root(int directory) {
  struct statx status {};
  if (statx(directory, "", AT_EMPTY_PATH, STATX_TYPE, &status) == 0 &&
      (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
    return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }
  // Before Linux 5.8: a bind of the same file system is not seen here, but its rename
  // fails with EBUSY, which is looked for too.
  struct ::stat here {};
  struct ::stat above {};
  if (fstat(directory, &here) != 0 || fstatat(directory, "..", &above, 0) != 0) return false;
  return here.st_dev != above.st_dev || here.st_ino == above.st_ino;
}

bool remove_tree(int parent, const std::string& name) noexcept {
  try {
    if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return true;
    if (errno != EISDIR && errno != EPERM) return false;
    {
      const Fd directory = open_directory_at(parent, name);
      if (!directory || is_mount_root(directory.get()) || !remove_contents(directory.get())) {
        return false;
      }
    }
    return unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
  } catch (const std::exception&) {
    return false;
  }
}

ScratchDirectory::ScratchDirectory(int parent, const std::string& made_for,
                                   const std::string& subject)
    : parent_(parent) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    name_ = scratch_name(made_for);
    if (mkdirat(parent, name_.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      throw output_error("create a directory beside", subject, errno);
    }
    fd_ = open_directory_at(parent, name_);
    if (!fd_) {
      if (errno == ENOENT) continue;
      const int failure = errno;
      unlinkat(parent, name_.c_str(), AT_REMOVEDIR);
      throw output_error("open a directory beside", subject, failure);
    }
    const bool others = flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!others && still_named(fd_.get(), parent, name_)) return;
  }
  throw Error(ExitCode::io, "io-error", printable(subject), "cannot create a directory beside it");
}

ScratchDirectory::~ScratchDirectory() {
  if (fate_ == Fate::removed && !remove_tree(parent_, name_)) {
    log_warning("cannot remove " + printable(name_) + "; the next run tries again");
  }
}

void remove_dead_scratch(int parent, const std::string& made_for, ScratchOwner owner) {
  for (const std::string& name : list_directory(parent, "the directory of " + made_for)) {
    if (!is_scratch_name(name, made_for)) continue;
    const Fd fd = open_directory_at(parent, name);
    struct ::stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) continue;
    if (owner == ScratchOwner::this_user && status.st_uid != geteuid()) continue;
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || !still_named(fd.get(), parent, name)) continue;
    if (remove_tree(parent, name)) {
      log_verbose("removed " + printable(name) + ", left behind by a run that died");
    }
  }
}

}  // namespace mad
