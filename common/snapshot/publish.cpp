#include "snapshot/publish.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "snapshot/names.hpp"
#include "snapshot/pair.hpp"
#include "snapshot/pending.hpp"

namespace mad {
namespace {

/// Writing back begins this early, so that the fsync at the end has little left to do.
constexpr std::uint64_t k_writeback_bytes = std::uint64_t{32} << 20U;
/// Against a deadline, where the end of one is waited for.
constexpr std::uint64_t k_paced_writeback_bytes = std::uint64_t{8} << 20U;

Fd open_output_directory(const PairNames& names) {
  Fd directory(open(names.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) return directory;
  const int failure = errno;
  Error error = output_error("open the directory", names.directory, failure);
  if (failure == ENOENT) error.hint = "create it first: mkdir -p " + printable(names.directory);
  throw Error(error);
}

/// What stands under a name that is about to be replaced, which must be a regular
/// file: a link would be replaced instead of followed, and its owner surprised.
std::optional<struct ::stat> replaced_file(int directory, const PairNames& names,
                                           const std::string& name) {
  struct ::stat status {};
  if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISREG(status.st_mode)) open_regular_at(directory, name, names.path(name));
    return status;
  }
  if (errno != ENOENT) throw output_error("stat", names.path(name), errno);
  return std::nullopt;
}

bool anyone_may_write(int directory, const std::string& subject) {
  return (stat_fd(directory, subject).st_mode & S_IWOTH) != 0;
}

class DirectoryLock {
 public:
  DirectoryLock(int directory, int timeout_ms, const std::string& subject) : directory_(directory) {
    lock_directory(directory, LockMode::exclusive, timeout_ms, subject);
  }
  ~DirectoryLock() { unlock_directory(directory_); }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int directory_;
};

/// `error`, with what a reader finds after it.
Error after_commit(const Error& error, const std::string& found) {
  return {error.code, error.reason, error.subject, error.message + '\n' + found, error.hint};
}

}  // namespace

struct SnapshotPublisher::State {
  State(const std::string& npz_path, const PublishOptions& chosen)
      : names(npz_path), options(chosen), path(npz_path) {
    directory = open_output_directory(names);
  }

  int dir() const { return directory.get(); }
  void sync(int fd, const std::string& subject) const { sync_fd(fd, subject, options.durability); }
  void sync_directory() const { sync(dir(), path); }

  mode_t mode_of(const std::optional<struct ::stat>& replaced) const;
  void clean_up_early();
  void wrote(std::uint64_t bytes);
  void keep_pace();
  void drop_temporary();
  void recover_sequence();
  void replace(const std::string& manifest, const std::optional<std::string>& signature,
               mode_t mode);
  void replace_bare();
  void rename_npz();

  PairNames names;
  PublishOptions options;
  std::string path;
  Fd directory;
  Temporary temporary;
  bool adopted = false;
  std::uint64_t written_bytes = 0;
  std::uint64_t flushed_bytes = 0;
  std::uint64_t settled_bytes = 0;
};

mode_t SnapshotPublisher::State::mode_of(const std::optional<struct ::stat>& replaced) const {
  if (options.mode) return *options.mode;
  // Where anyone may write, anyone may have put a world-readable file there first.
  if (!replaced || anyone_may_write(dir(), names.directory)) return 0600;
  return replaced->st_mode & 0777U;
}

void SnapshotPublisher::State::recover_sequence() {
  const auto entries = list_directory(dir(), names.directory);
  for (const std::string& name : interrupted_names(entries, stem_of(names.npz))) {
    recover_locked(dir(), PairNames(names.path(name)), options.durability);
  }
}

/// Makes room before anything is written.  A copier may hold the lock for long; then
/// publish() does this, and the time is used for writing.
void SnapshotPublisher::State::clean_up_early() {
  remove_dead_temporaries(dir(), names.npz);
  try {
    const DirectoryLock lock(dir(), 0, names.directory);
    if (options.naming == Naming::exact) recover_locked(dir(), names, options.durability);
  } catch (const Error& error) {
    if (error.reason != "lock-timeout") throw;
    log_verbose(printable(names.directory) + ": the lock is held; writing meanwhile");
  }
}

SnapshotPublisher::SnapshotPublisher(const std::string& npz_path, const PublishOptions& options)
    : state_(std::make_unique<State>(npz_path, options)) {
  const PairNames& names = state_->names;
  if (names.npz.empty() || names.npz == "." || names.npz == "..") {
    throw Error(ExitCode::refused, "not-regular", printable(npz_path),
                "expected the path of a file, found that of a directory");
  }
  for (const std::string& name : {names.npz, names.manifest, names.signature}) {
    replaced_file(state_->dir(), names, name);
  }
  state_->clean_up_early();
  state_->temporary = create_temporary(state_->dir(), names.npz, npz_path);
}

void SnapshotPublisher::State::drop_temporary() {
  if (temporary.name.empty() || adopted) return;
  unlinkat(dir(), temporary.name.c_str(), 0);
  if (deadline_passed()) close_elsewhere(std::move(temporary.fd));
}

SnapshotPublisher::~SnapshotPublisher() {
  state_->drop_temporary();
}

void SnapshotPublisher::adopt(Temporary file) {
  state_->drop_temporary();
  state_->temporary = std::move(file);
  state_->adopted = true;
}

std::optional<std::string> SnapshotPublisher::superseded() const {
  const State& s = *state_;
  if (s.options.naming == Naming::exact) {
    if (!replaced_file(s.dir(), s.names, s.names.npz)) return std::nullopt;
    return s.path;
  }
  const auto newest = newest_name(list_directory(s.dir(), s.names.directory), stem_of(s.names.npz));
  if (!newest) return std::nullopt;
  return s.names.path(*newest);
}

void SnapshotPublisher::reserve(std::uint64_t size_bytes) {
  if (size_bytes == 0) return;
  const int fd = npz_fd();
  struct ::statfs system {};
  // tmpfs would find and keep every page now, before the writing that can overlap.
  if (fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC) {
    struct ::statvfs space {};
    const bool known = fstatvfs(fd, &space) == 0 && space.f_blocks > 0;
    constexpr std::uint64_t k_stat_block = 512;
    const auto held =
        static_cast<std::uint64_t>(stat_fd(fd, state_->path).st_blocks) * k_stat_block;
    if (known && size_bytes > held && (size_bytes - held) / space.f_frsize > space.f_bavail) {
      throw output_error("reserve " + std::to_string(size_bytes) + " bytes for", state_->path,
                         ENOSPC);
    }
    return;
  }
  while (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size_bytes)) != 0) {
    if (errno == EINTR) continue;
    // Else a file system, or a filter of system calls, that has it not; writing will tell.
    const bool is_short = errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO;
    if (!is_short) return;
    throw output_error("reserve " + std::to_string(size_bytes) + " bytes for", state_->path, errno);
  }
}

void SnapshotPublisher::State::wrote(std::uint64_t bytes) {
  written_bytes += bytes;
  const std::uint64_t unflushed = written_bytes - flushed_bytes;
  const std::uint64_t enough = has_deadline() ? k_paced_writeback_bytes : k_writeback_bytes;
  if (unflushed < enough || options.durability == Durability::none) return;
  // Advice only: fsync is what reports failures.
  sync_file_range(temporary.fd.get(), static_cast<off_t>(flushed_bytes),
                  static_cast<off_t>(unflushed), SYNC_FILE_RANGE_WRITE);
  if (has_deadline()) keep_pace();
  flushed_bytes = written_bytes;
}

/// Waits until what was flushed before is on the disk.  Against a deadline the disk's rate must
/// show while there is time to do something about it, and fsync, which nothing ends early, must
/// have little left to do.
void SnapshotPublisher::State::keep_pace() {
  if (flushed_bytes == settled_bytes) return;
  const int done = sync_file_range(
      temporary.fd.get(), static_cast<off_t>(settled_bytes),
      static_cast<off_t>(flushed_bytes - settled_bytes),
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  // It may be the only one to hear of them.
  if (done != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT)) {
    throw output_error("write", path, errno);
  }
  check_interrupted();
  settled_bytes = flushed_bytes;
}

void SnapshotPublisher::write(Bytes bytes) {
  pwrite_full(npz_fd(), bytes, state_->written_bytes, state_->path);
  state_->wrote(bytes.size());
}

std::size_t SnapshotPublisher::append(Source& source, std::size_t most) {
  const std::size_t n = source.read_into_file(npz_fd(), state_->written_bytes, most, state_->path);
  state_->wrote(n);
  return n;
}

void SnapshotPublisher::written_to(std::uint64_t bytes) {
  if (bytes > state_->written_bytes) state_->wrote(bytes - state_->written_bytes);
}

void SnapshotPublisher::restart() {
  if (ftruncate(npz_fd(), 0) != 0) throw output_error("truncate", state_->path, errno);
  state_->written_bytes = 0;
  state_->flushed_bytes = 0;
  state_->settled_bytes = 0;
}

int SnapshotPublisher::npz_fd() const {
  return state_->temporary.fd.get();
}

const std::string& SnapshotPublisher::path() const {
  return state_->path;
}

/// The commit: from here on readers find the new npz, and by it the new manifest.
void SnapshotPublisher::State::rename_npz() {
  const struct ::stat mine = stat_fd(temporary.fd.get(), path);
  try {
    rename_name(dir(), names, temporary.name, names.npz);
  } catch (const Error&) {
    // An error of the disk may come back from a rename that has happened.
    struct ::stat named {};
    if (fstatat(dir(), names.npz.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        named.st_ino != mine.st_ino || named.st_dev != mine.st_dev) {
      throw;
    }
  }
  temporary.name.clear();
}

void SnapshotPublisher::State::replace(const std::string& manifest,
                                       const std::optional<std::string>& signature, mode_t mode) {
  PendingManifest pending(dir(), names, options.durability);
  pending.prepare(manifest, signature, mode);
  rename_npz();
  pending.keep();
  try {
    // Before the manifest: else a power loss could keep its name and lose the npz's.
    sync_directory();
    pending.complete();
  } catch (const Error& error) {
    throw after_commit(error, "readers find the new snapshot, through " +
                                  printable(names.path(names.next)) +
                                  "; 'mad-manifest recover' or the next snapshot completes it");
  }
  try {
    pending.settle();
  } catch (const Error& error) {
    throw after_commit(error,
                       "readers find the new snapshot; a power loss may bring back the old one");
  }
}

void SnapshotPublisher::State::replace_bare() {
  unlink_name(dir(), names, names.manifest);
  sync_directory();
  if (replaced_file(dir(), names, names.signature)) {
    unlink_name(dir(), names, names.signature);
    sync_directory();
  }
  rename_npz();
  sync_directory();
}

void SnapshotPublisher::publish(const std::optional<std::string>& manifest,
                                const std::optional<std::string>& signature) {
  State& s = *state_;
  const mode_t mode =
      s.mode_of(s.options.naming == Naming::exact ? replaced_file(s.dir(), s.names, s.names.npz)
                                                  : std::nullopt);
  set_mode(npz_fd(), mode, s.path);
  s.sync(npz_fd(), s.path);
  // Network file systems and quotas speak at a close.
  Fd(dup(npz_fd())).close(s.path);

  const DirectoryLock lock(s.dir(), s.options.lock_timeout_ms, s.names.directory);
  if (s.options.naming == Naming::sequence) {
    s.recover_sequence();
    s.path = next_name_in(s.names.directory, stem_of(s.names.npz));
    s.names = PairNames(s.path);
  } else {
    recover_locked(s.dir(), s.names, s.options.durability);
  }
  for (const std::string& name : {s.names.npz, s.names.manifest, s.names.signature}) {
    replaced_file(s.dir(), s.names, name);
  }
  s.sync_directory();
  check_interrupted();  // the last look: from here on it is done, or undone
  if (manifest) {
    s.replace(*manifest, signature && !signature->empty() ? signature : std::nullopt, mode);
  } else {
    s.replace_bare();
  }
}

Recovery recover_snapshot(const std::string& npz_path, const PublishOptions& options) {
  const PairNames names(npz_path);
  const Fd directory = open_directory(names.directory);
  const DirectoryLock lock(directory.get(), options.lock_timeout_ms, names.directory);
  const Recovery recovery = recover_locked(directory.get(), names, options.durability);
  remove_dead_temporaries(directory.get(), names.npz);
  return recovery;
}

}  // namespace mad
