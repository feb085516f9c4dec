#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/fd.hpp"

namespace mad {

/// Opens an existing regular file for reading.  A symbolic link in its last
/// component, a directory, a FIFO or a device is refused (code refused, reason
/// `not-regular`) and never waited for.  Throws system_error.
Fd open_regular(const std::string& path);
/// The same relative to a directory; `subject` names it in errors.
Fd open_regular_at(int directory, const std::string& name, const std::string& subject);

/// Refuses (code refused, reason `not-regular`) to put a file in the place of a directory, a FIFO,
/// a socket or a device; what is a symbolic link, or nothing, can be replaced.
void check_replaceable(const std::string& path);

/// Opens a directory for fsync, flock and *at calls; follows links.
Fd open_directory(const std::string& path);

/// Whether a directory is there, or a link to one.
bool is_directory(const std::string& path);

struct ::stat stat_fd(int fd, const std::string& subject);

/// The whole of a small file; more than `max_bytes` is refused (`too-large`).
std::string read_small_file(int fd, std::size_t max_bytes, const std::string& subject);

/// The directory part (`.` where there is none) and the last component.
struct SplitPath {
  std::string directory;
  std::string name;
};
SplitPath split_path(const std::string& path);
std::string without_last_slashes(std::string path);

std::string absolute_path(const std::string& path);

/// fchmod.  A file system without modes of its own (vfat, SMB, many in user space) keeps what it
/// shows: a snapshot is not given up for that.  Throws output_error.
void set_mode(int fd, mode_t mode, const std::string& subject);

/// Whether fsync is called: `none` trusts the machine to stay up.
enum class Durability { full, none };

/// fsync; EINVAL and EROFS (special files, read-only media) are accepted.
void sync_fd(int fd, const std::string& subject, Durability durability);

/// Closes what is the last of an unlinked file in a process of its own, which ends by that: the
/// kernel then gives back every page and extent of it, a sixth of a second a GiB, and a caller
/// whose time is over need not wait for it.  The same as closing it where no process can be made.
void close_elsewhere(Fd file) noexcept;

/// How a lock on a directory is held; released when it is destroyed, or its
/// holder dies.
enum class LockMode { shared, exclusive };

/// flock(2) on an open directory, waited for up to `timeout_ms`.  Nothing where
/// the file system has no such locks (NFS without lockd).  Throws
/// Error(io, `lock-timeout`) naming the directory.
void lock_directory(int directory, LockMode mode, int timeout_ms, const std::string& subject);
void unlock_directory(int directory);

/// A temporary beside its final name, mode 0600, under an exclusive flock for as
/// long as its writer lives: `.NAME.mad-XXXXXX`.
struct Temporary {
  Fd fd;
  std::string name;
};
Temporary create_temporary(int directory, const std::string& final_name,
                           const std::string& subject);

/// Unlinks the temporaries for `final_name` whose writer is dead: the next run
/// removes what a SIGKILL left.  A directory that cannot be written is left be.
void remove_dead_temporaries(int directory, const std::string& final_name);

/// Eight random letters and digits that every file system tells apart.
std::string random_suffix();
inline constexpr std::size_t k_random_suffix_length = 8;

/// The names in a directory, sorted bytewise, without `.` and `..`.
std::vector<std::string> list_directory(int directory, const std::string& subject);

}  // namespace mad
