#include "verify/salvage.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>

#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "io/file.hpp"
#include "io/scratch.hpp"
#include "npz/npz_reader.hpp"
#include "verify/damage_text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_copy_bytes = std::size_t{256} << 10U;
constexpr mode_t k_directory_mode = 0777;
constexpr mode_t k_file_mode = 0666;

NpzMember member_of(const ExaminedArray& array) {
  NpzMember member;
  member.key = array.name;
  member.method = array.method;
  member.data_offset = array.bytes.first;
  member.compressed_bytes = array.bytes.end - array.bytes.first;
  member.size_bytes = array.size_bytes;
  member.crc32 = array.crc32;
  return member;
}

/// The arrays of one salvage, under an open directory.
class Writer {
 public:
  Writer(const Refusal& refusal, int directory, std::string subject)
      : refusal_(refusal), directory_(directory), subject_(std::move(subject)) {}

  /// Why the array was not written; nothing where it was.
  std::string write(const ExaminedArray& array, const std::string& path) {
    if (const std::string defect = key_defect(array.name); !defect.empty()) {
      return "its name cannot be that of a file: " + defect;
    }
    if (std::string problem = make_parents(path); !problem.empty()) return problem;
    Fd file(openat(directory_, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   k_file_mode));
    if (!file) {
      if (errno == EEXIST || errno == EISDIR) return "another array has this file name already";
      throw output_error("create", about(path), errno);
    }
    try {
      copy(array, file.get(), path);
    } catch (const Error& error) {
      if (error.code != ExitCode::refused) throw;
      unlinkat(directory_, path.c_str(), 0);
      return "it could not be read again: " + error.message;
    }
    sync_fd(file.get(), about(path), Durability::full);
    file.close(about(path));
    return {};
  }

  void write_text(const std::string& name, const std::string& text) {
    Fd file(openat(directory_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, k_file_mode));
    if (!file) throw output_error("create", about(name), errno);
    write_full(file.get(), as_bytes(text), about(name));
    sync_fd(file.get(), about(name), Durability::full);
    file.close(about(name));
  }

  void sync_directories() {
    for (auto path = made_.rbegin(); path != made_.rend(); ++path) {
      const Fd fd(
          openat(directory_, path->c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!fd) throw output_error("open the directory", about(*path), errno);
      sync_fd(fd.get(), about(*path), Durability::full);
    }
    sync_fd(directory_, subject_, Durability::full);
  }

 private:
  std::string about(const std::string& path) const { return printable(subject_ + "/" + path); }

  std::string make_parents(const std::string& path) {
    for (auto slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (made_.count(parent) != 0) continue;
      if (mkdirat(directory_, parent.c_str(), k_directory_mode) != 0) {
        if (errno == EEXIST || errno == ENOTDIR) return "another array stands where its node goes";
        throw output_error("create the directory", about(parent), errno);
      }
      made_.insert(parent);
    }
    return {};
  }

  void copy(const ExaminedArray& array, int file, const std::string& path) {
    const auto source = open_member(refusal_.npz, member_of(array), refusal_.subject);
    while (const std::size_t n = source->read(MutableBytes(buffer_.get(), k_copy_bytes))) {
      check_interrupted();
      write_full(file, Bytes(buffer_.get(), n), about(path));
    }
  }

  const Refusal& refusal_;
  int directory_;
  std::string subject_;
  std::set<std::string> made_;
  std::unique_ptr<std::byte[]> buffer_ = std::make_unique_for_overwrite<std::byte[]>(k_copy_bytes);
};

bool same_file(const struct ::stat& a, const struct ::stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

void check_salvage_directory(const std::string& directory) {
  const std::string path = without_last_slashes(directory);
  const std::string subject = printable(path);
  struct ::stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT && !path.empty()) return;
    throw output_error("look at", subject, errno);
  }
  if (!S_ISDIR(status.st_mode)) {
    throw Error(ExitCode::usage, "usage", subject, "is there already, and is no directory");
  }
  if (!list_directory(open_directory(path).get(), subject).empty()) {
    throw Error(ExitCode::usage, "usage", subject, "expected an empty directory or none");
  }
}

Salvaged salvage(const Refusal& refusal, const Damage& damage, const std::string& directory) {
  const std::string path = without_last_slashes(directory);
  const SplitPath parts = split_path(path);
  const Fd parent(open(parts.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) throw output_error("open the directory of", printable(path), errno);
  remove_dead_scratch(parent.get(), parts.name, ScratchOwner::this_user);
  ScratchDirectory scratch(parent.get(), parts.name, path);
  const struct ::stat before = stat_fd(refusal.npz, refusal.subject);

  Writer writer(refusal, scratch.fd(), path);
  Salvaged salvaged;
  std::string list;
  for (const ExaminedArray& array : damage.arrays) {
    std::string more;
    const bool proven = array.state == ArrayState::proven;
    if (proven || array.state == ArrayState::consistent) {
      const std::string file = std::string(name_of(array.state)) + "/" + array.name + ".npy";
      const std::string problem = writer.write(array, file);
      more = problem.empty() ? ",\"file\":" + json_quote(file)
                             : ",\"not_written\":" + json_quote(problem);
      if (problem.empty()) ++(proven ? salvaged.proven : salvaged.consistent);
    }
    list += (list.empty() ? "\n    " : ",\n    ") + format_array_json(array, more);
  }
  salvaged.not_written =
      damage.arrays.size() + damage.more_arrays - salvaged.proven - salvaged.consistent;
  if (!same_file(before, stat_fd(refusal.npz, refusal.subject))) {
    throw Error(ExitCode::refused, "state-changed", refusal.subject, "changed while it was read");
  }
  std::string text = "{\n  \"version\": 1,\n  \"path\": " + json_quote(refusal.path) +
                     ",\n  \"size_bytes\": " + std::to_string(refusal.size_bytes);
  if (refusal.sha256) text += ",\n  \"sha256\": \"" + to_hex(*refusal.sha256) + '"';
  if (refusal.error) text += ",\n  \"reason\": " + json_quote(refusal.error->reason);
  text += ",\n  \"counts\": " + format_counts_json(damage) +
          ",\n  \"more_arrays\": " + std::to_string(damage.more_arrays) + ",\n  \"arrays\": [" +
          list + (list.empty() ? "]\n}\n" : "\n  ]\n}\n");
  writer.write_text("salvage.json", text);
  writer.sync_directories();

  const mode_t mask = umask(0);
  umask(mask);
  set_mode(scratch.fd(), k_directory_mode & ~mask, printable(path));
  if (renameat(parent.get(), scratch.name().c_str(), parent.get(), parts.name.c_str()) != 0) {
    throw output_error("create", printable(path), errno);
  }
  scratch.set_fate(ScratchDirectory::Fate::kept);
  sync_fd(parent.get(), printable(path), Durability::full);
  return salvaged;
}

}  // namespace mad
