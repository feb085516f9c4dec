#include "snapshot/snapshot.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <memory>
#include <tuple>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "npz/npz_reader.hpp"
#include "snapshot/pair.hpp"

namespace mad {
namespace {

/// A reader prefers to wait for a writer's last steps, which are short.
constexpr int k_reader_lock_ms = 2000;
constexpr int k_read_attempts = 50;
constexpr std::size_t k_read_bytes = std::size_t{256} << 10U;

struct FileStamp {
  dev_t device;
  ino_t inode;
  off_t size_bytes;
  timespec modified, changed;
  bool operator==(const FileStamp& other) const {
    const auto key = [](const FileStamp& s) {
      return std::make_tuple(s.device, s.inode, s.size_bytes, s.modified.tv_sec, s.modified.tv_nsec,
                             s.changed.tv_sec, s.changed.tv_nsec);
    };
    return key(*this) == key(other);
  }
};

/// What stands under the names at one moment.
using PairStamps = std::array<std::optional<FileStamp>, 5>;

PairStamps stamps_of(int directory, const PairNames& names) {
  PairStamps stamps;
  std::size_t i = 0;
  for (const std::string& name :
       {names.npz, names.manifest, names.next, names.signature, names.next_signature}) {
    struct ::stat status {};
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      stamps[i] = {status.st_dev, status.st_ino, status.st_size, status.st_mtim, status.st_ctim};
    } else if (errno != ENOENT) {
      throw system_error("stat", names.path(name), errno);
    }
    ++i;
  }
  return stamps;
}

std::optional<std::string> read_manifest_at(int directory, const PairNames& names,
                                            const std::string& name) {
  const std::string subject = names.path(name);
  try {
    const Fd fd = open_regular_at(directory, name, subject);
    return read_small_file(fd.get(), k_max_manifest_bytes, subject);
  } catch (const Error& error) {
    if (error.code == ExitCode::not_found) return std::nullopt;
    // Whatever stands under the name of `.next` must not hide a good pair.
    if (name == names.next && error.code == ExitCode::refused) return std::nullopt;
    throw;
  }
}

/// A signature as it was read, and what to say where that could not be done: it hides no good pair.
struct SignatureFile {
  std::optional<std::string> bytes;
  std::string warning;
};

SignatureFile read_signature_at(int directory, const PairNames& names, const std::string& name) {
  const std::string subject = names.path(name);
  SignatureFile file;
  try {
    const Fd fd = open_regular_at(directory, name, subject);
    std::string bytes(k_max_signature_file_bytes + 1, '\0');
    bytes.resize(pread_full(fd.get(), std::as_writable_bytes(std::span(bytes)), 0, subject));
    file.bytes = std::move(bytes);
  } catch (const Error& error) {
    if (error.code != ExitCode::not_found) file.warning = error.what();
  }
  return file;
}

Error snapshot_missing(const std::string& npz_path) {
  return {ExitCode::not_found, "snapshot-missing", printable(npz_path), "no such file"};
}

Fd open_directory_for_reading(const PairNames& names, const std::string& npz_path) {
  Fd directory(open(names.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A directory that may be passed through but not listed cannot be locked either.
  if (!directory && errno == EACCES) {
    directory = Fd(open(names.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (directory) return directory;
  if (errno == ENOENT || errno == ENOTDIR) throw snapshot_missing(npz_path);
  throw system_error("open the directory of", npz_path, errno);
}

void lock_for_reading(int directory, const PairNames& names, int timeout_ms) {
  try {
    lock_directory(directory, LockMode::shared, timeout_ms, names.directory);
  } catch (const Error& error) {
    if (error.reason != "lock-timeout") throw;
    log_verbose(printable(names.directory) + ": a writer holds the lock; reading without it");
  }
}

/// What stands under all the names of a pair.
struct PairFiles {
  Fd npz;
  std::uint64_t size_bytes = 0;
  std::optional<std::string> manifest, next;
  SignatureFile signature, next_signature;
};

/// As they stand now, whoever is changing them.
PairFiles read_files(int directory, const PairNames& names) {
  PairFiles files;
  const std::string subject = names.path(names.npz);
  try {
    files.npz = open_regular_at(directory, names.npz, subject);
  } catch (const Error& error) {
    if (error.code == ExitCode::not_found) throw snapshot_missing(subject);
    throw;
  }
  files.size_bytes = static_cast<std::uint64_t>(stat_fd(files.npz.get(), subject).st_size);
  files.manifest = read_manifest_at(directory, names, names.manifest);
  files.next = read_manifest_at(directory, names, names.next);
  files.signature = read_signature_at(directory, names, names.signature);
  if (files.next) files.next_signature = read_signature_at(directory, names, names.next_signature);
  return files;
}

/// See pending.hpp for how it is known which signature is the manifest's.
OpenSnapshot pair_of(PairFiles files, Owner owner, const PairNames& names) {
  OpenSnapshot snapshot;
  snapshot.npz = std::move(files.npz);
  snapshot.size_bytes = files.size_bytes;
  snapshot.manifest = std::move(files.manifest);
  snapshot.manifest_path = names.path(names.manifest);
  snapshot.signature_path = names.path(names.signature);
  if (owner == Owner::next) {
    snapshot.manifest = std::move(files.next);
    snapshot.manifest_path = names.path(names.next);
    log_note(printable(snapshot.manifest_path) +
             ": taken as the manifest, since it is the one that belongs to the file; "
             "'mad-manifest recover' completes what the writer began");
  }
  if (!snapshot.manifest) return snapshot;
  const auto take = [&](SignatureFile& file, const std::string& name) {
    if (!file.warning.empty()) log_warning(file.warning);
    if (!file.bytes) return;
    snapshot.signature = std::move(file.bytes);
    snapshot.signature_path = names.path(name);
  };
  if (owner == Owner::next) take(files.next_signature, names.next_signature);
  if (!snapshot.signature) take(files.signature, names.signature);
  if (snapshot.signature && snapshot.signature->empty()) snapshot.signature.reset();
  return snapshot;
}

bool is_integer(const std::string& descr) {
  const auto kind = descr.find_first_of("iu");
  return kind != std::string::npos && kind + 1 < descr.size() && descr.find('[') == descr.npos &&
         descr.find_first_not_of("<>|='iu1248") == descr.npos;
}

}  // namespace

OpenSnapshot open_snapshot(const std::string& npz_path, ManifestNeed need) {
  const PairNames names(npz_path);
  const Fd directory = open_directory_for_reading(names, npz_path);
  int lock_timeout_ms = k_reader_lock_ms;
  for (int attempt = 0; attempt < k_read_attempts; ++attempt) {
    lock_for_reading(directory.get(), names, lock_timeout_ms);
    lock_timeout_ms = 0;
    const PairStamps before = stamps_of(directory.get(), names);
    PairFiles files;
    auto owner = Owner::manifest;
    std::optional<Error> failure;
    try {
      files = read_files(directory.get(), names);
      if (files.next) {
        // Hashing may take longer than writers wait, of any snapshot in this directory.
        unlock_directory(directory.get());
        owner = owner_of(files.npz.get(), files.size_bytes, files.manifest, files.next, names);
      }
    } catch (const Error& error) {
      failure = error;
    }
    // Without the lock, what was read counts only if nothing moved.
    if (stamps_of(directory.get(), names) != before) continue;
    if (failure) throw Error(*failure);
    OpenSnapshot snapshot = pair_of(std::move(files), owner, names);
    if (!snapshot.manifest && need == ManifestNeed::required) {
      throw Error(ExitCode::not_found, "manifest-missing", printable(snapshot.manifest_path),
                  "no such file; without its manifest " + printable(npz_path) + " is no snapshot");
    }
    return snapshot;
  }
  throw Error(ExitCode::io, "lock-timeout", printable(npz_path),
              "it is being replaced again and again, and the lock on its directory is held");
}

FileDigests digest_file(int file, const std::string& subject, std::string_view progress_label) {
  FileDigests digests;
  digests.size_bytes = static_cast<std::uint64_t>(stat_fd(file, subject).st_size);
  digests.chunks.chunk_bytes = chunk_bytes_for(digests.size_bytes);
  ChunkedSha256 hash(digests.chunks.chunk_bytes);
  Progress progress(std::string(progress_label), digests.size_bytes);
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(k_read_bytes);
  const MutableBytes whole(buffer.get(), k_read_bytes);
  std::uint64_t offset = 0;
  for (;;) {
    const std::size_t n = pread_full(file, whole, offset, subject);
    if (n == 0) break;
    hash.update(whole.first(n));
    offset += n;
    progress.add(n);
  }
  digests.size_bytes = offset;
  digests.sha256 = hash.finish();
  digests.chunks.digests = hash.chunks();
  return digests;
}

Topology topology_of(const NpzMembers& members) {
  Topology topology;
  for (const NpzMember& member : members) {
    topology[member.key] = ArrayType{member.header.descr, member.header.shape};
  }
  return topology;
}

std::optional<std::int64_t> parse_step(const NpyHeader& header, Bytes item) {
  if (!is_integer(header.descr) || header.data_bytes != header.item_bytes ||
      item.size() != header.item_bytes || item.empty() || item.size() > 8) {
    return std::nullopt;
  }
  const bool big = header.descr.find('>') != std::string::npos;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < item.size(); ++i) {
    const std::byte byte = item[big ? i : item.size() - 1 - i];
    value = value << 8U | std::to_integer<std::uint64_t>(byte);
  }
  const bool is_signed = header.descr.find('i') != std::string::npos;
  const auto unused = static_cast<unsigned>(64 - 8 * item.size());
  if (is_signed) return static_cast<std::int64_t>(value << unused) >> unused;
  if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

std::optional<std::int64_t> step_of(int archive, const NpzMembers& members) {
  for (const NpzMember& member : members) {
    if (member.key != k_step_key) continue;
    if (member.header.data_bytes != member.header.item_bytes || member.header.item_bytes > 8) break;
    const auto source = open_member(archive, member, member.key);
    std::array<std::byte, k_max_npy_header_bytes + 8> npy;
    std::size_t size = 0;
    while (size < npy.size()) {
      const std::size_t n = source->read(MutableBytes(npy).subspan(size));
      if (n == 0) break;
      size += n;
    }
    if (size < member.header.header_bytes) break;
    return parse_step(member.header, Bytes(npy).first(size).subspan(member.header.header_bytes));
  }
  return std::nullopt;
}

}  // namespace mad
