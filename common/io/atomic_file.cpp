#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error.hpp"

namespace mad {

AtomicFile::AtomicFile(const std::string& path, mode_t mode, Durability durability)
    : path_(path), mode_(mode), durability_(durability) {
  const SplitPath parts = split_path(path);
  name_ = parts.name;
  directory_ = Fd(open(parts.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_) throw output_error("open the directory of", path, errno);
  check_replaceable(path);
  remove_dead_temporaries(directory_.get(), name_);
  temporary_ = create_temporary(directory_.get(), name_, path);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.name.empty()) unlinkat(directory_.get(), temporary_.name.c_str(), 0);
}

void AtomicFile::write(Bytes bytes) {
  write_full(temporary_.fd.get(), bytes, path_);
}

void AtomicFile::finish() {
  set_mode(temporary_.fd.get(), mode_, path_);
  sync_fd(temporary_.fd.get(), path_, durability_);
  // Closing a duplicate makes NFS and quotas speak, and keeps the lock that tells
  // a cleaner that this temporary is alive.
  Fd(dup(temporary_.fd.get())).close(path_);
  if (renameat(directory_.get(), temporary_.name.c_str(), directory_.get(), name_.c_str()) != 0) {
    throw output_error("rename a temporary to", path_, errno);
  }
  temporary_.name.clear();
  sync_fd(directory_.get(), path_, durability_);
}

}  // namespace mad
