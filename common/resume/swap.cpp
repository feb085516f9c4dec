#include "resume/swap.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "io/scratch.hpp"
#include "resume/journal.hpp"
#include "resume/paths.hpp"

namespace mad {
namespace {

/// What scratch directories inside a state are made for.
constexpr const char* k_inside = "state";
constexpr const char* k_incoming = "new";

/// `path` without links; where its last component does not exist yet, its parent's.
std::string resolve(const std::string& path) {
  if (const auto real = real_path(path)) return *real;
  struct ::stat status {};
  if (errno == ENOENT && lstat(path.c_str(), &status) == 0) {
    throw Error(ExitCode::io, "io-error", printable(path), "is a symbolic link to nothing");
  }
  if (errno != ENOENT) throw output_error("open the directory", path, errno);
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const SplitPath parts = split_path(trimmed);
  const auto parent = real_path(parts.directory);
  if (!parent) throw output_error("open the directory of", path, errno);
  return (*parent == "/" ? "" : *parent) + '/' + parts.name;
}

/// Errors by which a rename of the whole directory is known to be impossible, where one of
/// its files may still be possible.
bool cannot_move_whole(int failure) {
  return failure == EXDEV || failure == EINVAL || failure == ENOSYS || failure == EPERM ||
         failure == EACCES || failure == EBUSY || failure == EOPNOTSUPP;
}

}  // namespace

const char* name_of(SwapMethod method) {
  switch (method) {
    case SwapMethod::exchange:
      return "exchange";
    case SwapMethod::create:
      return "create";
    default:
      return "in-place";
  }
}

struct StateSwap::State {
  State(const std::string& given, const SwapOptions& chosen);

  Fd open_present() const;
  Fd lock_present() const;
  void recover();
  bool must_be_in_place(int directory) const;
  void make_scratch_beside();
  void make_scratch_inside(int directory);
  void check_topology(int directory);
  /// Each returns false where its way turns out not to be open.
  bool create();
  bool exchange(int directory);
  void in_place(int directory);

  SwapOptions options;
  std::string path;
  std::string name;
  Fd parent;
  bool may_use_parent = true;
  SwapMethod method = SwapMethod::exchange;
  Inheritance inheritance;
  std::vector<std::string> coming;
  std::optional<Topology> must_match;
  std::string incoming;

  // Declared in this order so that what is in it is closed before it is removed: NFS keeps
  // what is unlinked under another name for as long as it is open.
  Fd inside;
  std::unique_ptr<ScratchDirectory> beside;
  std::unique_ptr<ScratchDirectory> scratch;
  Fd tree;
};

StateSwap::State::State(const std::string& given, const SwapOptions& chosen)
    : options(chosen), path(resolve(given)) {
  const SplitPath parts = split_path(path);
  name = parts.name.empty() ? "." : parts.name;
  parent = Fd(open(parts.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A parent that may be entered but not listed or synced is enough for a swap in place.
  if (!parent && errno == EACCES) {
    parent = Fd(open(parts.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    may_use_parent = false;
  }
  if (!parent) throw output_error("open the directory of", path, errno);
  recover();
}

/// Nothing where there is none.
Fd StateSwap::State::open_present() const {
  Fd fd(openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd || errno == ENOENT) return fd;
  if (errno == ENOTDIR || errno == ELOOP) {
    throw Error(ExitCode::refused, "state-invalid", printable(path),
                "expected a directory, found something else");
  }
  throw output_error("open the directory", path, errno);
}

/// Opens and locks the directory that bears the name once the lock is had: while it was
/// waited for, its holder may have exchanged the directory.
Fd StateSwap::State::lock_present() const {
  for (;;) {
    Fd fd = open_present();
    if (!fd) return fd;
    lock_directory(fd.get(), LockMode::exclusive, options.lock_timeout_ms, path);
    struct ::stat named {};
    const struct ::stat mine = stat_fd(fd.get(), path);
    if (fstatat(parent.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        named.st_ino == mine.st_ino && named.st_dev == mine.st_dev) {
      return fd;
    }
  }
}

void StateSwap::State::recover() {
  {
    Fd directory = open_present();
    if (directory && has_journal(directory.get())) {
      try {
        directory = lock_present();
      } catch (const Error& error) {
        throw Error(ExitCode::start_refused, "state-unsettled", printable(path),
                    "another process is in the middle of a swap: " + error.one_line());
      }
      if (directory && has_journal(directory.get())) {
        roll_back_journal(directory.get(), scratch_name(k_inside), options.durability, path);
        log_note(printable(path) + ": put the old arrays back after a swap that was interrupted");
      }
    }
    if (directory) {
      unlock_directory(directory.get());
      remove_dead_scratch(directory.get(), k_inside, ScratchOwner::anybody);
    }
  }
  try {
    remove_dead_scratch(parent.get(), name, ScratchOwner::anybody);
  } catch (const Error& error) {
    log_verbose(error.what());  // a parent that cannot be listed holds nothing of ours
  }
}

bool StateSwap::State::must_be_in_place(int directory) const {
  if (is_mount_root(directory) || name == "." || !may_use_parent) return true;
  const auto here = real_path(".");
  return !here || is_at_or_under(*here, path);
}

void StateSwap::State::make_scratch_beside() {
  scratch = std::make_unique<ScratchDirectory>(parent.get(), name, path);
  if (mkdirat(scratch->fd(), k_incoming, 0700) != 0)
    throw output_error("create a directory in", path, errno);
  tree = Fd(openat(scratch->fd(), k_incoming, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tree) throw output_error("open a directory in", path, errno);
}

void StateSwap::State::make_scratch_inside(int directory) {
  inside = Fd(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!inside) throw output_error("open the directory", path, errno);
  scratch = std::make_unique<ScratchDirectory>(inside.get(), k_inside, path);
}

void StateSwap::State::check_topology(int directory) {
  if (!must_match) return;
  const StateListing listing = list_state(directory, path);
  if (listing.arrays.empty()) return;
  require_same_topology(topology_of(directory, listing, path), *must_match, incoming);
}

StateSwap::StateSwap(const std::string& path, const SwapOptions& options)
    : state_(std::make_unique<State>(path, options)) {}

StateSwap::~StateSwap() = default;

const std::string& StateSwap::path() const {
  return state_->path;
}

SwapMethod StateSwap::method() const {
  return state_->method;
}

void StateSwap::prepare() {
  State& s = *state_;
  // Locked while it is looked at: another run may be replacing it.
  const Fd directory = s.lock_present();
  if (!directory) {
    s.method = SwapMethod::create;
    return s.make_scratch_beside();
  }
  s.inheritance.before = list_state(directory.get(), s.path);
  s.inheritance.top = stat_fd(directory.get(), s.path);
  s.method = SwapMethod::exchange;
  if (!s.must_be_in_place(directory.get())) {
    try {
      return s.make_scratch_beside();
    } catch (const Error& error) {
      if (error.reason != "permission") throw;
      log_verbose(error.what());
    }
  }
  s.method = SwapMethod::in_place;
  s.make_scratch_inside(directory.get());
  if (mkdirat(s.scratch->fd(), k_incoming, 0700) != 0) {
    throw output_error("create a directory in", s.path, errno);
  }
  s.tree = Fd(openat(s.scratch->fd(), k_incoming, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!s.tree) throw output_error("open a directory in", s.path, errno);
}

std::string StateSwap::scratch_path() const {
  const std::string above = state_->inside ? state_->path : split_path(state_->path).directory;
  return above + '/' + state_->scratch->name();
}

void StateSwap::require_present_topology(const Topology& incoming, const std::string& subject) {
  state_->must_match = incoming;
  state_->incoming = subject;
  const Fd directory = state_->lock_present();
  if (directory) state_->check_topology(directory.get());
}

void StateSwap::unpack(int archive, const NpzMembers& members, AfterUnpacking after,
                       const std::string& subject) {
  require_distinct_paths(members, subject);
  unpack_members(state_->tree.get(), archive, members, state_->inheritance, after,
                 state_->options.durability, subject);
  state_->coming.clear();
  for (const NpzMember& member : members) state_->coming.push_back(member.key + ".npy");
}

bool StateSwap::State::create() {
  struct ::stat top {};
  top = stat_fd(tree.get(), path);
  const mode_t mask = umask(077);
  umask(mask);
  top.st_mode = 0777U & ~mask;
  inherit(tree.get(), top, path);
  sync_fd(tree.get(), path, options.durability);
  flock(tree.get(), LOCK_EX | LOCK_NB);  // it is the directory's own lock from now on
  if (renameat2(scratch->fd(), k_incoming, parent.get(), name.c_str(), RENAME_NOREPLACE) != 0) {
    // Without the flag an empty directory that came meanwhile is replaced, no more.
    const bool known = errno != EINVAL;
    if (known || renameat(scratch->fd(), k_incoming, parent.get(), name.c_str()) != 0) {
      if (errno == EEXIST || errno == ENOTEMPTY) return false;
      throw output_error("create the directory", path, errno);
    }
  }
  try {
    sync_fd(parent.get(), path, options.durability);
  } catch (const Error& error) {
    if (renameat(parent.get(), name.c_str(), scratch->fd(), k_incoming) == 0) throw;
    throw Error(ExitCode::start_refused, "state-unsettled", printable(path), error.one_line());
  }
  method = SwapMethod::create;
  return true;
}

bool StateSwap::State::exchange(int directory) {
  if (method == SwapMethod::in_place || must_be_in_place(directory)) return false;
  // What another run unpacks in the directory, to swap it in place, must not go with it.
  remove_dead_scratch(directory, k_inside, ScratchOwner::anybody);
  const StateListing listing = list_state(directory, path);
  const auto is_scratch = [](const std::string& other) { return is_scratch_name(other, k_inside); };
  if (std::any_of(listing.others.begin(), listing.others.end(), is_scratch)) return false;
  if (listing.has_mounts) return false;
  if (!link_others(directory, listing, tree.get(), options.durability, path)) return false;
  inherit(tree.get(), stat_fd(directory, path), path);
  sync_fd(tree.get(), path, options.durability);
  sync_fd(scratch->fd(), path, options.durability);
  flock(tree.get(), LOCK_EX | LOCK_NB);  // it is the directory's own lock from now on
  check_interrupted();
  const auto swap = [&] {
    return renameat2(scratch->fd(), k_incoming, parent.get(), name.c_str(), RENAME_EXCHANGE) == 0;
  };
  if (!swap()) {
    if (cannot_move_whole(errno)) return false;
    throw output_error("exchange the directory", path, errno);
  }
  method = SwapMethod::exchange;
  try {
    sync_fd(parent.get(), path, options.durability);
    sync_fd(scratch->fd(), path, options.durability);
  } catch (const Error& error) {
    if (swap()) throw;
    throw Error(ExitCode::start_refused, "state-unsettled", printable(path), error.one_line());
  } catch (...) {
    swap();
    throw;
  }
  return true;
}

void StateSwap::State::in_place(int directory) {
  if (method != SwapMethod::in_place) {
    beside = std::move(scratch);
    make_scratch_inside(directory);
    if (renameat(beside->fd(), k_incoming, scratch->fd(), k_incoming) != 0) {
      throw output_error("move the unpacked arrays into", path, errno);
    }
  }
  method = SwapMethod::in_place;

  const StateListing listing = list_state(directory, path);
  JournalPlan plan;
  for (const auto& [array, status] : listing.arrays) plan.leaving.push_back(array);
  plan.coming = coming;
  std::map<std::string, int> made;
  for (const std::string& array : coming) {
    for (std::string at = parent_of(array); !at.empty(); at = parent_of(at)) {
      struct ::stat status {};
      if (fstatat(directory, at.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) break;
      made.emplace(at, 0);
    }
  }
  for (const auto& [made_path, unused] : made) plan.made.push_back(made_path);

  scratch->set_fate(ScratchDirectory::Fate::kept);
  try {
    swap_under_journal(directory, scratch->name(), plan, options.durability, path);
  } catch (const Error& error) {
    if (error.code != ExitCode::start_refused) scratch->set_fate(ScratchDirectory::Fate::removed);
    throw;
  } catch (...) {
    scratch->set_fate(ScratchDirectory::Fate::removed);
    throw;
  }
  scratch->set_fate(ScratchDirectory::Fate::removed);
  // Nodes that the new state does not have; one that still holds something stays.
  for (auto node = listing.nodes.rbegin(); node != listing.nodes.rend(); ++node) {
    unlinkat(directory, node->first.c_str(), AT_REMOVEDIR);
  }
}

void StateSwap::commit() {
  State& s = *state_;
  for (;;) {
    const Fd directory = s.lock_present();
    if (!directory) {
      if (s.method == SwapMethod::in_place) {
        throw Error(ExitCode::io, "io-error", printable(s.path), "was removed meanwhile");
      }
      if (s.create()) return;
      continue;
    }
    s.check_topology(directory.get());
    if (!s.exchange(directory.get())) s.in_place(directory.get());
    return;
  }
}

}  // namespace mad
