#include "exchange/partial_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "hash/sha256.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_journal_bytes = std::size_t{16} << 20U;
constexpr const char* k_journal_suffix = ".parts";

/// Another length than that of the temporaries which remove_dead_temporaries removes.
std::string partial_name(const std::string& final_name) {
  return "." + final_name.substr(0, 200) + ".mad-partial";
}

bool is_own_file(int fd) {
  struct ::stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
         status.st_uid == geteuid();
}

/// None where something else is in its place: in a directory like /tmp anyone could have
/// put it there, and would keep a hand on what is published.
Fd open_own_file(int directory, const std::string& name, int flags, const std::string& subject) {
  Fd fd(
      openat(directory, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600));
  if (!fd && (errno == ENOSPC || errno == EDQUOT || errno == EROFS)) {
    throw output_error("create", subject, errno);
  }
  if (!fd || !is_own_file(fd.get())) return {};
  set_mode(fd.get(), 0600, subject);
  return fd;
}

bool is_named(int directory, const std::string& name, int fd) {
  struct ::stat mine {};
  struct ::stat named {};
  return fstat(fd, &mine) == 0 &&
         fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

/// `OFFSET LENGTH`, within `size_bytes`.
std::optional<ByteRange> parse_part(std::string_view line, std::uint64_t size_bytes) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const auto offset = parse_decimal(line.substr(0, blank));
  const auto length = parse_decimal(line.substr(blank + 1));
  if (!offset || !length || *length == 0 || *offset > size_bytes ||
      *length > size_bytes - *offset) {
    return std::nullopt;
  }
  return ByteRange{*offset, *length};
}

std::string format_part(const ByteRange& part) {
  std::string line = std::to_string(part.offset);
  line += ' ';
  line += std::to_string(part.length);
  line += '\n';
  return line;
}

}  // namespace

std::unique_ptr<PartialFile> PartialFile::open(const std::string& npz_path,
                                               const std::string& identity,
                                               std::uint64_t size_bytes) {
  const SplitPath path = split_path(npz_path);
  Fd directory = open_directory(path.directory);
  const std::string name = partial_name(path.name);
  Fd file = open_own_file(directory.get(), name, O_CREAT, npz_path);
  const bool locked = file && flock(file.get(), LOCK_EX | LOCK_NB) == 0;
  if (file && !locked && errno != EWOULDBLOCK) {
    // Where nobody can have a lock nobody goes on with it: it is what was created just now.
    if (is_named(directory.get(), name, file.get())) unlinkat(directory.get(), name.c_str(), 0);
    log_verbose(
        printable(npz_path) +
        ": this file system has no locks; what is fetched now is not kept for another fetch");
    return nullptr;
  }
  if (!locked || !is_named(directory.get(), name, file.get())) {
    log_verbose(printable(npz_path) + ": " + printable(name) +
                " is in other hands; what is fetched now is not kept for another fetch");
    return nullptr;
  }
  std::unique_ptr<PartialFile> partial(
      new PartialFile(std::move(directory), std::move(file), npz_path, identity, size_bytes));
  if (!partial->journal_) return nullptr;
  if (!partial->read_journal()) partial->start_over();
  return partial;
}

PartialFile::PartialFile(Fd directory, Fd file, const std::string& npz_path,
                         const std::string& identity, std::uint64_t size_bytes)
    : directory_(std::move(directory)),
      file_(std::move(file)),
      name_(partial_name(split_path(npz_path).name)),
      subject_(npz_path),
      first_line_("mad-partial 1 " + to_hex(Sha256::of(as_bytes(identity))) + ' ' +
                  std::to_string(size_bytes) + '\n'),
      size_bytes_(size_bytes) {
  journal_ = open_own_file(directory_.get(), name_ + k_journal_suffix, O_CREAT, subject_);
}

PartialFile::~PartialFile() {
  if (!parts_.empty() || !is_named(directory_.get(), name_, file_.get())) return;
  if (journal_) unlinkat(directory_.get(), (name_ + k_journal_suffix).c_str(), 0);
  unlinkat(directory_.get(), name_.c_str(), 0);
}

/// False where it is of something else, or no journal.
bool PartialFile::read_journal() {
  std::string text;
  try {
    text = read_small_file(journal_.get(), k_max_journal_bytes, subject_);
  } catch (const Error& error) {
    log_verbose(error.one_line());
    return false;
  }
  // A last line without its end was cut off.
  text.resize(text.rfind('\n') + 1);
  if (text.compare(0, first_line_.size(), first_line_) != 0) return false;
  const auto there = static_cast<std::uint64_t>(stat_fd(file_.get(), subject_).st_size);
  if (there > size_bytes_) return false;
  std::string_view rest = text;
  rest.remove_prefix(first_line_.size());
  for (const std::string_view line : split(rest, '\n')) {
    if (line.empty()) continue;
    const auto part = parse_part(line, size_bytes_);
    if (!part) return false;
    if (part->end() <= there) parts_.add(*part);
  }
  journal_bytes_ = text.size();
  return !parts_.empty();
}

void PartialFile::start_over() {
  if (ftruncate(file_.get(), 0) != 0) throw output_error("truncate", subject_, errno);
  replace({});
}

void PartialFile::add(const ByteRange& part) {
  const std::string line = format_part(part);
  pwrite_full(journal_.get(), as_bytes(line), journal_bytes_, subject_);
  journal_bytes_ += line.size();
  parts_.add(part);
}

void PartialFile::replace(const RangeSet& parts) {
  parts_ = parts;
  std::string text = first_line_;
  for (const ByteRange& part : parts.ranges()) text += format_part(part);
  if (ftruncate(journal_.get(), 0) != 0) throw output_error("truncate", subject_, errno);
  pwrite_full(journal_.get(), as_bytes(text), 0, subject_);
  journal_bytes_ = text.size();
}

Temporary PartialFile::share() const {
  Fd copy(fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw output_error("open", subject_, errno);
  return {std::move(copy), name_};
}

void remove_partial(const std::string& npz_path) noexcept {
  try {
    const SplitPath path = split_path(npz_path);
    const Fd directory = open_directory(path.directory);
    const std::string name = partial_name(path.name);
    const Fd file(
        openat(directory.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && errno != ENOENT) return;
    if (file && (!is_own_file(file.get()) || flock(file.get(), LOCK_EX | LOCK_NB) != 0 ||
                 !is_named(directory.get(), name, file.get()))) {
      return;
    }
    unlinkat(directory.get(), (name + k_journal_suffix).c_str(), 0);
    if (file) unlinkat(directory.get(), name.c_str(), 0);
  } catch (const std::exception& error) {
    // Only tidiness is lost.
    log_verbose(error.what());
  }
}

}  // namespace mad
