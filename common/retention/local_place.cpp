#include "retention/local_place.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "io/file.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/pair.hpp"
#include "snapshot/publish.hpp"
#include "snapshot/snapshot.hpp"
#include "verify/checks.hpp"
#include "verify/verify_file.hpp"

namespace mad {
namespace {

constexpr int k_prune_lock_ms = 10'000;
constexpr int k_give_way_ms = 12;
constexpr int k_list_lock_ms = 2000;
constexpr int k_most_surveys = 20;

PartMark mark_of(const struct ::stat& status) {
  PartMark mark;
  mark.version = std::to_string(status.st_dev) + ':' + std::to_string(status.st_ino) + ':' +
                 std::to_string(status.st_size) + ':' + std::to_string(status.st_mtim.tv_sec) +
                 '.' + std::to_string(status.st_mtim.tv_nsec);
  mark.size_bytes = static_cast<std::uint64_t>(status.st_size);
  mark.modified_s = status.st_mtim.tv_sec;
  mark.is_file = S_ISREG(status.st_mode);
  return mark;
}

std::optional<PartMark> mark_at(int directory, const std::string& name,
                                const std::string& subject) {
  struct ::stat status {};
  if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return mark_of(status);
  if (errno != ENOENT) throw system_error("stat", subject, errno);
  return std::nullopt;
}

bool same_mark(const std::optional<PartMark>& a, const std::optional<PartMark>& b) {
  return a.has_value() == b.has_value() && (!a || a->version == b->version);
}

std::string part_name(const std::string& npz, Part part) {
  return npz + std::string(suffix_of(part));
}

/// Whether the file of a dead writer: one that lives holds its lock.  The lock is `fd`'s.
bool lock_dead_work(const Fd& fd, const PlacedWork& work) {
  if (!fd || (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)) return false;
  return mark_of(stat_fd(fd.get(), work.name)).version == work.mark.version;
}

class LocalPlace final : public Place {
 public:
  explicit LocalPlace(const std::string& path) : path_(path) {
    if (path_.back() != '/') path_ += '/';
    directory_ = open_it();
  }

  std::string path_of(const std::string& npz_name) const override { return path_ + npz_name; }

  PlaceSurvey survey(WorkNeed works) override {
    for (int attempt = 1;; ++attempt) {
      has_vanished_ = false;
      PlaceSurvey found = list(works);
      for (PlacedSnapshot& snapshot : found.snapshots) look_into(snapshot);
      // What went may have gone for one that came after the directory was listed.
      if (!has_vanished_ || attempt == k_most_surveys) return found;
    }
  }

  std::optional<Error> check(const PlacedSnapshot& snapshot) override {
    return verify_file(VerifyOptions{}, path_ + snapshot.name).error;
  }

  Removal remove(const PlacedSnapshot& victim,
                 const std::vector<const PlacedSnapshot*>& witnesses) override {
    give_way();
    const Fd directory = open_it();
    const int dir = directory.get();
    lock_directory(dir, LockMode::exclusive, k_prune_lock_ms, path_);
    for (const PlacedSnapshot* witness : witnesses) {
      if (!is_as_it_was(dir, *witness)) return Removal::witness_lost;
    }
    const auto now = marks_at(dir, victim.name);
    bool any = false;
    for (const Part part : k_every_part) {
      const auto& mark = now[static_cast<std::size_t>(part)];
      if (mark && (!mark->is_file || !same_mark(mark, victim.part(part)))) return Removal::in_use;
      any = any || mark;
    }
    if (!any) return Removal::gone;
    unlink_all(dir, victim.name);
    held_lock_ = true;
    return Removal::removed;
  }

  Removal remove(const PlacedWork& work) override {
    const Fd fd(openat(directory_.get(), work.name.c_str(),
                       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd && errno == ENOENT) return Removal::gone;
    if (!lock_dead_work(fd, work)) return Removal::in_use;
    // The name may be another file's since it was opened.
    if (!same_mark(mark_at(directory_.get(), work.name, path_ + work.name), work.mark)) {
      return Removal::in_use;
    }
    // A fetch touches its journal only with the lock that is held here.
    const auto kind = parse_work_name(work.name);
    if (kind && kind->kind == WorkKind::partial) unlink_at(work.name + ".parts");
    unlink_at(work.name);
    return Removal::removed;
  }

  bool can_settle(const PlacedSnapshot& snapshot) const override { return snapshot.is_plain(); }
  void settle(const PlacedSnapshot& snapshot) override {
    recover_snapshot(path_ + snapshot.name, PublishOptions{});
  }

 private:
  Fd open_it() const {
    Fd directory(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) return directory;
    if (errno == ENOENT) {
      throw Error(ExitCode::not_found, "place-missing", printable(path_), "no such directory");
    }
    throw system_error("open the directory", path_, errno);
  }

  /// One removal after another would leave a writer no moment to take the lock: it looks for
  /// that every 10 ms (lock_directory).
  void give_way() {
    if (!std::exchange(held_lock_, false)) return;
    pollfd wake = {interrupt_fd(), POLLIN, 0};
    poll(&wake, 1, k_give_way_ms);
    check_interrupted();
  }

  std::array<std::optional<PartMark>, k_parts> marks_at(int directory,
                                                        const std::string& npz) const {
    std::array<std::optional<PartMark>, k_parts> marks;
    for (const Part part : k_every_part) {
      const std::string name = part_name(npz, part);
      marks[static_cast<std::size_t>(part)] = mark_at(directory, name, path_ + name);
    }
    return marks;
  }

  bool is_as_it_was(int directory, const PlacedSnapshot& snapshot) const {
    const auto now = marks_at(directory, snapshot.name);
    const Part owner = snapshot.interrupted ? Part::next : Part::manifest;
    return same_mark(now[static_cast<std::size_t>(Part::npz)], snapshot.part(Part::npz)) &&
           same_mark(now[static_cast<std::size_t>(owner)], snapshot.part(owner));
  }

  void unlink_at(const std::string& name) const {
    if (unlinkat(directory_.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      throw output_error("remove", path_ + name, errno);
    }
  }

  void unlink_all(int directory, const std::string& npz) const {
    unlink_at(npz);
    // Else a power loss could keep the npz, and nothing that says whose it is.
    sync_fd(directory, path_, Durability::full);
    for (const Part part : {Part::next, Part::next_signature, Part::manifest, Part::signature}) {
      unlink_at(part_name(npz, part));
    }
    sync_fd(directory, path_, Durability::full);
  }

  /// The names and marks of one instant, as far as that can be had: without the lock, what is
  /// renamed meanwhile could be seen under neither name.
  PlaceSurvey list(WorkNeed works) const {
    const Fd directory = open_it();
    lock_to_list(directory.get());
    PlaceSurvey found;
    std::map<std::string, PlacedSnapshot> snapshots;
    for (const std::string& name : list_directory(directory.get(), path_)) {
      if (auto part = parse_part_name(name)) {
        const auto mark = mark_at(directory.get(), name, path_ + name);
        if (!mark) continue;
        PlacedSnapshot& snapshot = snapshots[part->npz];
        snapshot.parts[static_cast<std::size_t>(part->part)] = mark;
      } else if (works == WorkNeed::needed) {
        add_work(name, found.works);
      }
    }
    found.snapshots.reserve(snapshots.size());
    for (auto& [name, snapshot] : snapshots) {
      snapshot.name = name;
      found.snapshots.push_back(std::move(snapshot));
    }
    return found;
  }

  /// A copier may hold it for long; whoever removes and publishes here waits for it, too.
  void lock_to_list(int directory) const {
    try {
      lock_directory(directory, LockMode::shared, k_list_lock_ms, path_);
    } catch (const Error& error) {
      if (error.reason != "lock-timeout") throw;
      log_verbose(printable(path_) + ": the lock is held; listing without it");
    }
  }

  void add_work(const std::string& name, std::vector<PlacedWork>& works) const {
    const auto work = parse_work_name(name);
    if (!work) return;
    const auto mark = mark_at(directory_.get(), name, path_ + name);
    if (!mark || !mark->is_file) return;
    // It goes with what it is the journal of, which stands before it.
    if (work->kind == WorkKind::partial_journal && !works.empty() &&
        works.back().name + ".parts" == name) {
      return;
    }
    works.push_back({name, work->npz, false, {}, *mark});
  }

  void look_into(PlacedSnapshot& snapshot) {
    if (!snapshot.part(Part::npz)) return;
    try {
      if (snapshot.part(Part::next) || !read_as_it_stands(snapshot)) read_under_lock(snapshot);
    } catch (const Error& error) {
      const bool refused = error.code == ExitCode::refused || error.code == ExitCode::schema;
      snapshot.state = refused ? SnapshotState::refused : SnapshotState::unreadable;
      snapshot.error = error;
    }
  }

  /// False where a writer may be at work on it.
  bool read_as_it_stands(PlacedSnapshot& snapshot) {
    if (!snapshot.part(Part::manifest)) {
      snapshot.state = SnapshotState::no_manifest;
      return snapshot.is_plain();
    }
    const std::string name = part_name(snapshot.name, Part::manifest);
    std::string text;
    try {
      const Fd file = open_regular_at(directory_.get(), name, path_ + name);
      text = read_small_file(file.get(), k_max_manifest_bytes, path_ + name);
    } catch (const Error& error) {
      if (error.code == ExitCode::not_found) return false;
      throw;
    }
    snapshot.facts = read_facts(text, printable(path_ + name));
    snapshot.state = SnapshotState::complete;
    return snapshot.is_plain() && agrees_in_size(snapshot, snapshot.size_bytes());
  }

  static bool agrees_in_size(const PlacedSnapshot& snapshot, std::uint64_t size_bytes) {
    return snapshot.facts->size_bytes.value_or(size_bytes) == size_bytes;
  }

  void read_under_lock(PlacedSnapshot& snapshot) {
    const bool had_manifest = snapshot.part(Part::manifest).has_value();
    snapshot.parts = marks_at(directory_.get(), snapshot.name);
    snapshot.facts.reset();
    snapshot.state = SnapshotState::no_npz;
    OpenSnapshot opened;
    try {
      opened = open_snapshot(path_ + snapshot.name, ManifestNeed::optional);
    } catch (const Error& error) {
      if (error.code != ExitCode::not_found) throw;
      snapshot.parts[static_cast<std::size_t>(Part::npz)].reset();
      has_vanished_ = true;
      return;
    }
    snapshot.state = SnapshotState::no_manifest;
    has_vanished_ = has_vanished_ || (had_manifest && !opened.manifest);
    if (!opened.manifest) return;
    snapshot.interrupted = opened.manifest_path != path_ + part_name(snapshot.name, Part::manifest);
    snapshot.facts = read_facts(*opened.manifest, printable(opened.manifest_path));
    snapshot.state = SnapshotState::complete;
    if (agrees_in_size(snapshot, opened.size_bytes)) return;
    throw size_mismatch(printable(path_ + snapshot.name), *snapshot.facts->size_bytes,
                        opened.size_bytes);
  }

  std::string path_;
  Fd directory_;
  bool held_lock_ = false;
  bool has_vanished_ = false;
};

}  // namespace

std::unique_ptr<Place> open_local_place(const std::string& directory) {
  return std::make_unique<LocalPlace>(directory);
}

}  // namespace mad
