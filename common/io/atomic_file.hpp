#pragma once

#include <sys/types.h>

#include <string>

#include "io/file.hpp"
#include "io/sink.hpp"

namespace mad {

/// A file that appears under its final name complete and durable, or not at all.
///
/// Bytes go to a mode-0600 temporary beside `path`.  finish() runs fchmod,
/// fsync(file), rename, fsync(directory), in that order; the last makes the
/// *name* survive power loss (POSIX.1-2017, fsync, rename).  Destruction without
/// finish() removes the temporary and leaves `path` as it was; what a SIGKILL
/// left, the next AtomicFile for the same name removes.
///
/// Owns its descriptor; one thread at a time.  Throws Error(io), and Error(refused,
/// `not-regular`) where a device, a FIFO, a socket or a directory is in its place.
class AtomicFile final : public Sink {
 public:
  AtomicFile(const std::string& path, mode_t mode, Durability durability);
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(Bytes bytes) override;
  void finish() override;

 private:
  std::string path_;
  std::string name_;
  mode_t mode_;
  Durability durability_;
  Fd directory_;
  Temporary temporary_;
};

}  // namespace mad
