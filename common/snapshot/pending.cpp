#include "snapshot/pending.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/names.hpp"

namespace mad {
namespace {

std::optional<struct ::stat> status_of(int directory, const PairNames& names,
                                       const std::string& name) {
  struct ::stat status {};
  if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status;
  if (errno != ENOENT) throw output_error("stat", names.path(name), errno);
  return std::nullopt;
}

bool is_there(int directory, const PairNames& names, const std::string& name) {
  return status_of(directory, names, name).has_value();
}

/// Opens a file that recovery looks at; nothing where it is missing or no regular file.
Fd open_if_regular(int directory, const PairNames& names, const std::string& name) {
  try {
    return open_regular_at(directory, name, names.path(name));
  } catch (const Error& error) {
    if (error.code == ExitCode::not_found || error.code == ExitCode::refused) return {};
    throw;
  }
}

std::optional<std::string> text_of(const Fd& file, const std::string& subject) {
  if (!file) return std::nullopt;
  try {
    return read_small_file(file.get(), k_max_manifest_bytes, subject);
  } catch (const Error& error) {
    if (error.code == ExitCode::refused) return std::nullopt;
    throw;
  }
}

void write_next(int directory, const PairNames& names, const std::string& name,
                const std::string& text, mode_t mode, Durability durability) {
  const std::string subject = names.path(name);
  Fd file(
      openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw output_error("create", subject, errno);
  set_mode(file.get(), mode, subject);
  if (!text.empty()) pwrite_full(file.get(), as_bytes(text), 0, subject);
  sync_fd(file.get(), subject, durability);
  file.close(subject);
}

/// The manifest's first: while it is there, what is under the signature's `.next` counts.
void withdraw(int directory, const PairNames& names, Durability durability) {
  unlink_name(directory, names, names.next);
  if (!is_there(directory, names, names.next_signature)) return;
  sync_fd(directory, names.path(names.npz), durability);
  unlink_name(directory, names, names.next_signature);
}

/// Returns whether there was one.
bool remove_empty_signature(int directory, const PairNames& names) {
  const auto status = status_of(directory, names, names.signature);
  if (!status || !S_ISREG(status->st_mode) || status->st_size != 0) return false;
  unlink_name(directory, names, names.signature);
  return true;
}

/// No manifest waits: what else a dead writer may have left.
Recovery recover_without_next(int directory, const PairNames& names, Durability durability) {
  const bool orphan = is_there(directory, names, names.next_signature);
  if (orphan) unlink_name(directory, names, names.next_signature);
  const bool empty = remove_empty_signature(directory, names);
  if (orphan || empty) sync_fd(directory, names.path(names.npz), durability);
  return orphan ? Recovery::discarded : Recovery::nothing;
}

}  // namespace

PendingManifest::PendingManifest(int directory, const PairNames& names, Durability durability)
    : directory_(directory), names_(names), durability_(durability) {}

PendingManifest::~PendingManifest() {
  if (!begun_ || kept_) return;
  try {
    withdraw(directory_, names_, durability_);
  } catch (const Error& error) {
    log_verbose(error.what());  // the next run meets it again
  } catch (...) {
    // So it does where a signal or the deadline came in between.
  }
}

void PendingManifest::prepare(const std::string& manifest,
                              const std::optional<std::string>& signature, mode_t mode) {
  begun_ = true;
  if (signature || is_there(directory_, names_, names_.signature)) {
    write_next(directory_, names_, names_.next_signature, signature.value_or(""), mode,
               durability_);
    sync_fd(directory_, names_.path(names_.npz), durability_);
  }
  write_next(directory_, names_, names_.next, manifest, mode, durability_);
  sync_fd(directory_, names_.path(names_.npz), durability_);
}

void PendingManifest::complete() {
  if (is_there(directory_, names_, names_.next_signature)) {
    rename_name(directory_, names_, names_.next_signature, names_.signature);
    sync_fd(directory_, names_.path(names_.npz), durability_);
  }
  rename_name(directory_, names_, names_.next, names_.manifest);
}

void PendingManifest::settle() {
  sync_fd(directory_, names_.path(names_.npz), durability_);
  if (!remove_empty_signature(directory_, names_)) return;
  sync_fd(directory_, names_.path(names_.npz), durability_);
}

Recovery recover_locked(int directory, const PairNames& names, Durability durability) {
  if (!is_there(directory, names, names.next)) {
    return recover_without_next(directory, names, durability);
  }
  const std::string subject = names.path(names.npz);
  const Fd npz = open_if_regular(directory, names, names.npz);
  const Fd manifest = open_if_regular(directory, names, names.manifest);
  const Fd next = open_if_regular(directory, names, names.next);
  const bool completes =
      npz && next &&
      owner_of(npz.get(), static_cast<std::uint64_t>(stat_fd(npz.get(), subject).st_size),
               text_of(manifest, names.path(names.manifest)), text_of(next, names.path(names.next)),
               names) == Owner::next;
  if (!completes) {
    withdraw(directory, names, durability);
    log_verbose(printable(names.path(names.next)) +
                ": removed; its writer died before it replaced the snapshot");
    sync_fd(directory, subject, durability);
    return Recovery::discarded;
  }
  // The writer may have died before it could sync any of these.
  const Fd signature = open_if_regular(directory, names, names.next_signature);
  sync_fd(npz.get(), subject, durability);
  sync_fd(next.get(), names.path(names.next), durability);
  if (signature) sync_fd(signature.get(), names.path(names.next_signature), durability);
  sync_fd(directory, subject, durability);
  PendingManifest pending(directory, names, durability);
  pending.complete();
  log_note(printable(subject) + ": completed the snapshot of a writer that was interrupted");
  pending.settle();
  return Recovery::completed;
}

}  // namespace mad
