#include "retention/prune.hpp"

#include <cstdlib>
#include <map>
#include <set>

#include "support/catch.hpp"

namespace {

using namespace mad;
using test::error_from;

std::int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// A place in memory, whose snapshots are numbered by their age.
class FakePlace final : public Place {
 public:
  /// The newest has the greatest number: a day lies between each two.
  PlacedSnapshot& add(int number, SnapshotState state = SnapshotState::complete) {
    return add(number, state, (9 - number) * 86'400 + 7200);
  }
  PlacedSnapshot& add(int number, SnapshotState state, std::int64_t age_s) {
    PlacedSnapshot snapshot;
    snapshot.name = "s-000000000" + std::to_string(number) + "-20260131T120000Z.npz";
    snapshot.state = state;
    const PartMark mark{"v1", 10, now_s() - age_s, true};
    if (state != SnapshotState::no_npz) snapshot.parts[0] = mark;
    if (state != SnapshotState::no_manifest) snapshot.parts[1] = mark;
    if (state == SnapshotState::complete) {
      snapshot.facts.emplace();
      snapshot.facts->created_at = format_rfc3339(now_s() - age_s);
    }
    if (state == SnapshotState::refused || state == SnapshotState::unreadable) {
      const bool refused = state == SnapshotState::refused;
      snapshot.error = Error(refused ? ExitCode::refused : ExitCode::io,
                             refused ? "size-mismatch" : "permission", snapshot.name, "wrong");
    }
    return snapshots[number] = snapshot;
  }

  std::string path_of(const std::string& name) const override { return "fake/" + name; }
  PlaceSurvey survey(WorkNeed) override {
    PlaceSurvey found;
    for (const auto& [number, snapshot] : snapshots) found.snapshots.push_back(snapshot);
    found.works = works;
    return found;
  }
  std::optional<Error> check(const PlacedSnapshot& snapshot) override {
    const int number = number_of(snapshot.name);
    checked += std::to_string(number);
    if (before_check && before_check()) {
      return Error(ExitCode::not_found, "snapshot-missing", snapshot.name, "no such file");
    }
    if (const auto found = faults.find(number); found != faults.end()) return found->second;
    return std::nullopt;
  }
  Removal remove(const PlacedSnapshot& victim,
                 const std::vector<const PlacedSnapshot*>& witnesses) override {
    if (before_removal) before_removal();
    for (const PlacedSnapshot* witness : witnesses) {
      const auto found = snapshots.find(number_of(witness->name));
      if (found == snapshots.end() || found->second.parts[0]->version != "v1") {
        return Removal::witness_lost;
      }
    }
    const auto found = snapshots.find(number_of(victim.name));
    if (found == snapshots.end()) return Removal::gone;
    if (busy.count(found->first) != 0) return Removal::in_use;
    snapshots.erase(found);
    return Removal::removed;
  }
  Removal remove(const PlacedWork& work) override {
    removed_works += work.name;
    return Removal::removed;
  }
  bool can_settle(const PlacedSnapshot& snapshot) const override { return !snapshot.interrupted; }
  void settle(const PlacedSnapshot& snapshot) override {
    settled += std::to_string(number_of(snapshot.name));
  }

  static int number_of(const std::string& name) { return name[11] - '0'; }

  std::string left() const {
    std::string numbers;
    for (const auto& [number, snapshot] : snapshots) numbers += std::to_string(number);
    return numbers;
  }

  std::map<int, PlacedSnapshot> snapshots;
  std::vector<PlacedWork> works;
  std::map<int, Error> faults;
  std::set<int> busy;
  std::function<void()> before_removal;
  /// Whether it is gone by then.
  std::function<bool()> before_check;
  std::string checked, removed_works, settled;
};

Error broken() {
  return {ExitCode::refused, "sha256-mismatch", "s", "SHA-256 mismatch"};
}

RetentionRule keep(std::uint64_t count) {
  RetentionRule rule;
  rule.keep = count;
  return rule;
}

/// What was told, as `kind number`, and so on.
std::string pruned(Place& place, const RetentionRule& rule, Execution execution = Execution::real) {
  std::string told;
  prune(place, rule, execution, [&](const PruneAct& act) {
    told +=
        std::string(name_of(act.kind)) + ' ' +
        (act.kind == PruneKind::work ? act.name : std::to_string(FakePlace::number_of(act.name))) +
        ' ' + act.reason + '\n';
  });
  return told;
}

FakePlace place_of(int count) {
  FakePlace place;
  for (int number = 1; number <= count; ++number) place.add(number);
  return place;
}

}  // namespace

TEST_CASE("prune: the older ones go, the oldest first, once the newest were read whole") {
  FakePlace place = place_of(5);
  const std::string told = "snapshot 1 superseded\nsnapshot 2 superseded\nsnapshot 3 superseded\n";
  CHECK(pruned(place, keep(2), Execution::dry_run) == told);
  CHECK(place.left() == "12345");
  place.checked.clear();
  CHECK(pruned(place, keep(2)) == told);
  CHECK(place.left() == "45");
  CHECK(place.checked == "54");
}

TEST_CASE("prune: where nothing can go nothing is read") {
  FakePlace place = place_of(2);
  CHECK(pruned(place, keep(2)).empty());
  CHECK(place.checked.empty());
}

TEST_CASE("prune: a broken one does not count, and stays where it is newer") {
  FakePlace place = place_of(6);
  place.faults.emplace(6, broken());
  place.faults.emplace(4, broken());
  place.add(7, SnapshotState::refused);
  CHECK(pruned(place, keep(2)) == "snapshot 1 superseded\nsnapshot 2 superseded\n");
  CHECK(place.left() == "34567");
  CHECK(place.checked == "6543");
}

TEST_CASE("prune: a broken one that is older goes with the rest") {
  FakePlace place = place_of(3);
  place.add(1, SnapshotState::refused);
  CHECK(pruned(place, keep(1)) == "snapshot 1 refused\nsnapshot 2 superseded\n");
  CHECK(place.left() == "3");
}

TEST_CASE("prune: the last valid one stays whatever the number") {
  FakePlace place = place_of(4);
  for (const int number : {4, 3, 1}) place.faults.emplace(number, broken());
  CHECK(pruned(place, keep(2)).empty());
  CHECK(place.left() == "1234");
  CHECK(pruned(place, keep(1)) == "snapshot 1 superseded\n");
}

TEST_CASE("prune: where none is valid nothing that could be one goes") {
  FakePlace place = place_of(3);
  for (const int number : {1, 2, 3}) place.faults.emplace(number, broken());
  place.add(4, SnapshotState::no_manifest);
  const Error error = error_from([&] { pruned(place, keep(1)); });
  CHECK(error.reason == "no-valid-snapshot");
  CHECK(error.code == ExitCode::refused);
  CHECK(place.left() == "1234");
}

TEST_CASE("prune: one that cannot be read ends it, and nothing goes") {
  FakePlace place = place_of(3);
  place.faults.emplace(3, Error(ExitCode::remote, "connect", "s", "cannot connect"));
  CHECK(error_from([&] { pruned(place, keep(1)); }).reason == "connect");
  CHECK(place.left() == "123");
}

TEST_CASE("prune: what cannot be read is neither counted nor removed") {
  FakePlace place = place_of(4);
  place.add(1, SnapshotState::unreadable);
  place.add(4, SnapshotState::unreadable);
  CHECK(pruned(place, keep(1)) == "snapshot 2 superseded\n");
  CHECK(place.left() == "134");
}

TEST_CASE("prune: keep_within counts from the newest valid one, not from now") {
  FakePlace place = place_of(6);
  place.faults.emplace(6, broken());
  RetentionRule rule;
  rule.keep_within = std::chrono::hours(48);
  CHECK(pruned(place, rule) == "snapshot 1 superseded\nsnapshot 2 superseded\n");
  CHECK(place.checked == "65");
  rule.keep = 2;
  rule.keep_within = std::chrono::seconds(0);
  CHECK(pruned(place, rule) == "snapshot 3 superseded\n");
}

TEST_CASE("prune: remains go after the grace, a bare npz only below a valid one") {
  FakePlace place;
  place.add(1, SnapshotState::no_manifest);
  place.add(2, SnapshotState::no_npz);
  CHECK(pruned(place, keep(1)).empty());
  place.add(3);
  place.add(4, SnapshotState::no_manifest);
  place.add(6, SnapshotState::no_manifest, 90);
  place.add(7, SnapshotState::no_npz, 90);
  place.add(5, SnapshotState::no_manifest).name = "a-person's.npz";
  CHECK(pruned(place, keep(1)) == "remains 1 no-manifest\nremains 2 no-npz\n");
  CHECK(place.left() == "34567");
  place.add(8, SnapshotState::complete, 60);
  RetentionRule rule = keep(2);
  rule.grace = std::chrono::seconds(75);
  CHECK(pruned(place, rule) == "remains 4 no-manifest\nremains 6 no-manifest\nremains 7 no-npz\n");
  CHECK(place.left() == "358");
}

TEST_CASE("prune: manifests without any npz may be kept apart on purpose") {
  FakePlace place;
  for (int number = 1; number <= 3; ++number) place.add(number, SnapshotState::no_npz);
  CHECK(pruned(place, keep(1)).empty());
}

TEST_CASE("prune: dead writers' work goes after the grace; of a time to come nothing is old") {
  FakePlace place = place_of(1);
  for (const std::int64_t age_s : {7200, 60, -7200}) {
    PlacedWork work;
    work.name = ".s.npz.mad-" + std::to_string(age_s);
    work.mark.modified_s = now_s() - age_s;
    place.works.push_back(work);
  }
  CHECK(pruned(place, keep(1)) == "work .s.npz.mad-7200 dead-writer\n");
  CHECK(place.removed_works == ".s.npz.mad-7200");
}

TEST_CASE("prune: what was left beside a snapshot that stays is settled") {
  FakePlace place = place_of(2);
  place.snapshots[2].parts[2] = PartMark{"n", 1, now_s() - 7200, true};
  place.snapshots[1].parts[2] = PartMark{"n", 1, now_s() - 7200, true};
  CHECK(pruned(place, keep(1)) == "snapshot 1 superseded\nsettle 2 dead-writer\n");
  CHECK(place.settled == "2");
  place.snapshots[2].interrupted = true;
  CHECK(pruned(place, keep(1)).empty());
}

TEST_CASE("prune: where a witness is lost the place is looked at again") {
  FakePlace place = place_of(4);
  int removals = 0;
  place.before_removal = [&] {
    if (++removals == 2) place.snapshots.erase(4);
  };
  CHECK(pruned(place, keep(1)) == "snapshot 1 superseded\nsnapshot 2 superseded\n");
  CHECK(place.left() == "3");
  place = place_of(3);
  place.before_removal = [&] { place.snapshots[3].parts[0]->version = "v2"; };
  CHECK(error_from([&] { pruned(place, keep(1)); }).reason == "place-changing");
  CHECK(place.left() == "123");
}

TEST_CASE("prune: what goes while it is read is no broken one: the place is looked at again") {
  FakePlace place = place_of(3);
  place.before_check = [&] {
    // A writer and another pruner, in between.
    if (place.checked == "3") {
      place.snapshots.clear();
      place.add(4);
      place.add(5);
    }
    return place.checked == "3";
  };
  CHECK(pruned(place, keep(1)) == "snapshot 4 superseded\n");
  CHECK(place.left() == "5");
}

TEST_CASE("prune: what a writer took over is left alone and not told of") {
  FakePlace place = place_of(3);
  place.busy = {2};
  CHECK(pruned(place, keep(1)) == "snapshot 1 superseded\n");
  CHECK(place.left() == "23");
}

TEST_CASE("prune: what was just written counts first and never goes") {
  FakePlace place = place_of(4);
  RetentionRule rule = keep(1);
  rule.just_written = place.snapshots[2].name;
  CHECK(pruned(place, rule) ==
        "snapshot 1 superseded\nsnapshot 3 superseded\nsnapshot 4 superseded\n");
  CHECK(place.left() == "2");
  place = place_of(4);
  place.faults.emplace(2, broken());
  CHECK(pruned(place, rule) == "snapshot 1 superseded\nsnapshot 3 superseded\n");
  CHECK(place.left() == "24");
}

TEST_CASE("prune: what the rule does not concern does not exist for it") {
  FakePlace place = place_of(4);
  RetentionRule rule = keep(1);
  rule.concerns = [](const std::string& name) { return FakePlace::number_of(name) != 4; };
  CHECK(pruned(place, rule) == "snapshot 1 superseded\nsnapshot 2 superseded\n");
  CHECK(place.checked == "3");
}

TEST_CASE("prune: links and the like are never touched") {
  FakePlace place = place_of(3);
  place.snapshots[1].parts[1]->is_file = false;
  place.add(2, SnapshotState::refused).parts[0]->is_file = false;
  CHECK(pruned(place, keep(1)).empty());
  CHECK(place.left() == "123");
}

TEST_CASE("prune: after a resume that failed nothing goes") {
  FakePlace place = place_of(3);
  setenv("MAD_RESUME_STATUS", "failed", 1);
  PruneFigures figures = prune(place, keep(1), Execution::real, [](const PruneAct&) {});
  unsetenv("MAD_RESUME_STATUS");
  CHECK(figures.spared);
  CHECK(place.left() == "123");
}
