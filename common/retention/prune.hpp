#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "retention/place.hpp"

namespace mad {

/// What stays in a place (mad-prune(1)).
struct RetentionRule {
  /// As many of the newest as are found whole when all of each is read; at least 1.
  std::uint64_t keep = 1;
  /// And those no older than the newest of them by more than this.
  std::optional<std::chrono::seconds> keep_within;
  /// What a dead writer left, and nobody has touched for so long, goes as well.
  std::chrono::seconds grace{3600};
  /// Never removed, and the first that may count whatever its place in the order: its writer
  /// knows it to be the newest.
  std::string just_written;
  /// Snapshots that this says no to do not exist for the rule; all, where it is empty.
  std::function<bool(const std::string& npz_name)> concerns;
};

enum class PruneKind {
  snapshot,  ///< superseded
  remains,   ///< of a snapshot: an npz without a manifest, or anything without the npz
  work,      ///< a temporary or an upload whose writer is dead
  settle,    ///< not removed: what an interrupted writer left beside a snapshot that stays
};
std::string_view name_of(PruneKind kind);

/// What was done, or would be.
struct PruneAct {
  PruneKind kind = PruneKind::snapshot;
  std::string name;
  std::string path;
  std::uint64_t size_bytes = 0;
  /// `superseded`, `refused`, `no-manifest`, `no-npz`, `dead-writer`.
  std::string reason;
};

enum class Execution { real, dry_run };

struct PruneFigures {
  std::uint64_t kept = 0;     ///< snapshots that were there before and are not removed
  std::uint64_t valid = 0;    ///< of these, read whole and found right
  std::uint64_t refused = 0;  ///< of these, found wrong
  std::uint64_t removed = 0;  ///< snapshots
  std::uint64_t removed_bytes = 0;
  /// Nothing was looked at: the resume on this machine failed, and what is there may be what
  /// could not be read.
  bool spared = false;
};

/// Removes from `place` what `rule` does not keep, and tells of each act once it is done; of
/// a dry run, the same acts in the same order, and does none.
///
/// Nothing goes before as many newer ones as the rule keeps were read whole and found right,
/// and each is still there at the very moment; what is not right does not count, and stays
/// where it is newer than the last of them.  What was replaced since it was looked at
/// stays.  Other pruners and writers may be at work meanwhile.
///
/// Throws Error(refused, `no-valid-snapshot`) where snapshots had to be looked into and none
/// is right, Error(io | remote, `place-changing`) where the place never rests, and what
/// Place throws; what was told of is done all the same.
PruneFigures prune(Place& place, const RetentionRule& rule, Execution execution,
                   const std::function<void(const PruneAct&)>& tell);

/// `90s`, `15m`, `12h`, `2d`, `1w`; nothing where it is none, such as a bare number.
std::optional<std::chrono::seconds> parse_age(std::string_view text);

}  // namespace mad
