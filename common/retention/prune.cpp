#include "retention/prune.hpp"

#include <algorithm>
#include <array>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "snapshot/names.hpp"

namespace mad {
namespace {

constexpr int k_most_rounds = 10;

struct PlannedAct {
  PruneAct act;
  const PlacedSnapshot* snapshot = nullptr;
  const PlacedWork* work = nullptr;
};

/// What is to be done in a place as one survey saw it.
class PrunePlan {
 public:
  PrunePlan(Place& place, const RetentionRule& rule) : place_(place), rule_(rule) {
    now_s_ = std::chrono::duration_cast<std::chrono::seconds>(
                 std::chrono::system_clock::now().time_since_epoch())
                 .count();
    survey_ = place.survey(WorkNeed::needed);
    put_in_order();
    const bool reads = must_read();
    for (const PlacedSnapshot& snapshot : survey_.snapshots) {
      look_at(snapshot, reads);
      if (is_outdated_) return;
    }
    // Should this be killed half-way, the oldest are what is gone.
    std::reverse(acts_.begin(), acts_.end());
    for (const PlacedWork& work : survey_.works) look_at(work);
    figures_.valid = witnesses_.size();
    nothing_valid_ = reads && witnesses_.empty() && figures_.refused > 0;
  }

  const std::vector<PlannedAct>& acts() const { return acts_; }
  const std::vector<const PlacedSnapshot*>& witnesses() const { return witnesses_; }
  /// What stays.
  const PruneFigures& figures() const { return figures_; }
  bool nothing_valid() const { return nothing_valid_; }
  /// What was to be counted went while it was looked at: nothing here holds.
  bool is_outdated() const { return is_outdated_; }

 private:
  bool concerns(const std::string& name) const { return !rule_.concerns || rule_.concerns(name); }

  void put_in_order() {
    auto& snapshots = survey_.snapshots;
    const auto not_ours = [&](const PlacedSnapshot& s) { return !concerns(s.name); };
    snapshots.erase(std::remove_if(snapshots.begin(), snapshots.end(), not_ours), snapshots.end());
    sort_newest_first(snapshots);
    const auto written =
        std::find_if(snapshots.begin(), snapshots.end(),
                     [&](const PlacedSnapshot& s) { return s.name == rule_.just_written; });
    if (written != snapshots.end()) std::rotate(snapshots.begin(), written, written + 1);
    has_snapshots_ = std::any_of(snapshots.begin(), snapshots.end(), [](const PlacedSnapshot& s) {
      return s.state == SnapshotState::complete;
    });
  }

  /// Not where nothing could go in any case.
  bool must_read() const {
    std::uint64_t pairs = 0;
    bool bare = false;
    for (const PlacedSnapshot& snapshot : survey_.snapshots) {
      if (snapshot.facts || snapshot.state == SnapshotState::refused) ++pairs;
      bare = bare || is_dead_bare_npz(snapshot);
    }
    return pairs > rule_.keep || bare;
  }

  bool is_old(std::int64_t modified_s) const {
    return modified_s <= now_s_ && now_s_ - modified_s >= rule_.grace.count();
  }

  bool is_dead_bare_npz(const PlacedSnapshot& snapshot) const {
    return snapshot.state == SnapshotState::no_manifest && is_made_up_name(snapshot.name) &&
           snapshot.is_plain() && is_old(snapshot.modified_s());
  }

  bool is_full() const { return witnesses_.size() >= rule_.keep; }

  bool is_within(const PlacedSnapshot& snapshot) const {
    if (!rule_.keep_within) return false;
    return snapshot.time().seconds >=
           witnesses_.front()->time().seconds - rule_.keep_within->count();
  }

  void look_at(const PlacedSnapshot& snapshot, bool reads) {
    switch (snapshot.state) {
      case SnapshotState::complete:
        if (reads && is_full() && !is_within(snapshot) && snapshot.is_plain()) {
          return add(PruneKind::snapshot, snapshot, "superseded");
        }
        if (reads && !is_full()) count(snapshot, place_.check(snapshot));
        return keep(snapshot);
      case SnapshotState::refused:
        if (reads && is_full() && !is_within(snapshot) && snapshot.is_plain()) {
          return add(PruneKind::snapshot, snapshot, "refused");
        }
        if (reads && !is_full()) count(snapshot, snapshot.error);
        return keep(snapshot);
      case SnapshotState::no_manifest:
        if (reads && !witnesses_.empty() && is_dead_bare_npz(snapshot)) {
          add(PruneKind::remains, snapshot, "no-manifest");
        }
        return;
      case SnapshotState::no_npz:
        if (has_snapshots_ && snapshot.is_plain() && is_old(snapshot.modified_s())) {
          add(PruneKind::remains, snapshot, "no-npz");
        }
        return;
      case SnapshotState::unreadable:
        log_warning(snapshot.error->one_line() + "; left alone");
        return keep(snapshot);
    }
  }

  void look_at(const PlacedWork& work) {
    if (!concerns(work.npz) || !is_old(work.mark.modified_s.value_or(now_s_))) return;
    PlannedAct planned;
    planned.act = {PruneKind::work, work.name, place_.path_of(work.name), work.mark.size_bytes,
                   "dead-writer"};
    planned.work = &work;
    acts_.push_back(std::move(planned));
  }

  void count(const PlacedSnapshot& snapshot, const std::optional<Error>& error) {
    if (!error) return witnesses_.push_back(&snapshot);
    if (!is_verdict(*error)) throw Error(*error);
    is_outdated_ = error->code == ExitCode::not_found;
    if (is_outdated_) return;
    ++figures_.refused;
    log_warning(error->one_line() + "; not counted");
  }

  void keep(const PlacedSnapshot& snapshot) {
    ++figures_.kept;
    std::int64_t newest = -1;
    for (const Part part : {Part::next, Part::next_signature}) {
      const auto& mark = snapshot.part(part);
      if (mark) newest = std::max(newest, mark->modified_s.value_or(now_s_));
    }
    if (newest >= 0 && is_old(newest) && place_.can_settle(snapshot)) {
      add(PruneKind::settle, snapshot, "dead-writer");
    }
  }

  void add(PruneKind kind, const PlacedSnapshot& snapshot, const char* reason) {
    PlannedAct planned;
    planned.act = {kind, snapshot.name, place_.path_of(snapshot.name), snapshot.size_bytes(),
                   reason};
    planned.snapshot = &snapshot;
    acts_.push_back(std::move(planned));
  }

  Place& place_;
  const RetentionRule& rule_;
  std::int64_t now_s_ = 0;
  PlaceSurvey survey_;
  std::vector<PlannedAct> acts_;
  std::vector<const PlacedSnapshot*> witnesses_;
  PruneFigures figures_;
  /// Else this may be where somebody keeps manifests apart from their npz.
  bool has_snapshots_ = false;
  bool nothing_valid_ = false;
  bool is_outdated_ = false;
};

Removal carry_out(Place& place, const PlannedAct& planned, const PrunePlan& plan) {
  switch (planned.act.kind) {
    case PruneKind::snapshot:
      return place.remove(*planned.snapshot, plan.witnesses());
    case PruneKind::remains: {
      const bool has_npz = planned.snapshot->part(Part::npz).has_value();
      return place.remove(*planned.snapshot,
                          has_npz ? plan.witnesses() : std::vector<const PlacedSnapshot*>{});
    }
    case PruneKind::work:
      return place.remove(*planned.work);
    case PruneKind::settle:
      place.settle(*planned.snapshot);
      return Removal::removed;
  }
  return Removal::gone;
}

}  // namespace

std::string_view name_of(PruneKind kind) {
  constexpr std::array<std::string_view, 4> k_names = {"snapshot", "remains", "work", "settle"};
  return k_names[static_cast<std::size_t>(kind)];
}

PruneFigures prune(Place& place, const RetentionRule& rule, Execution execution,
                   const std::function<void(const PruneAct&)>& tell) {
  PruneFigures done;
  if (resume_failed()) {
    log_warning(printable(place.path_of("")) +
                ": nothing is pruned, since the resume from it may be what failed "
                "(MAD_RESUME_STATUS=failed)");
    done.spared = true;
    return done;
  }
  for (int round = 0; round < k_most_rounds; ++round) {
    const PrunePlan plan(place, rule);
    bool lost = plan.is_outdated();
    for (const PlannedAct& planned : plan.acts()) {
      if (lost) break;
      check_interrupted();
      const Removal removal =
          execution == Execution::dry_run ? Removal::removed : carry_out(place, planned, plan);
      if (removal == Removal::in_use) {
        log_note(printable(planned.act.path) + ": left alone, a writer is at work on it");
      }
      lost = removal == Removal::witness_lost;
      if (removal != Removal::removed) continue;
      if (planned.act.kind == PruneKind::snapshot) ++done.removed;
      if (planned.act.kind != PruneKind::settle) done.removed_bytes += planned.act.size_bytes;
      tell(planned.act);
    }
    if (lost) {
      log_verbose(printable(place.path_of("")) +
                  ": what was to be kept has changed; looking again");
      continue;
    }
    done.kept = plan.figures().kept;
    done.valid = plan.figures().valid;
    done.refused = plan.figures().refused;
    if (!plan.nothing_valid()) return done;
    throw Error(ExitCode::refused, "no-valid-snapshot", printable(place.path_of("")),
                "expected a valid snapshot, found " + std::to_string(done.refused) +
                    " that are not; nothing that could be one is removed");
  }
  throw Error(ExitCode::io, "place-changing", printable(place.path_of("")),
              "what is to be kept was replaced again and again",
              "its writers do not rest; try again later");
}

std::optional<std::chrono::seconds> parse_age(std::string_view text) {
  constexpr std::uint64_t k_most_s = 100ULL * 366 * 86'400;
  constexpr std::string_view k_units = "smhdw";
  constexpr std::array<std::uint64_t, 5> k_unit_s = {1, 60, 3600, 86'400, 604'800};
  const auto at = text.empty() ? std::string_view::npos : k_units.find(text.back());
  if (at == std::string_view::npos) return std::nullopt;
  const std::uint64_t unit_s = k_unit_s[at];
  const auto number = parse_decimal(text.substr(0, text.size() - 1));
  if (!number || *number > k_most_s / unit_s) return std::nullopt;
  return std::chrono::seconds(*number * unit_s);
}

}  // namespace mad
