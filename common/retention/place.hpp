#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/timestamp.hpp"
#include "hash/sha256.hpp"
#include "retention/place_names.hpp"

namespace mad {

/// One file or object as it was when the place was looked at.
struct PartMark {
  /// Another one under the same name has another; opaque.
  std::string version;
  std::uint64_t size_bytes = 0;
  std::optional<std::int64_t> modified_s;
  /// False for a symbolic link, a directory, …: never touched.
  bool is_file = true;
};

/// What a manifest says that a list shows.
struct ManifestFacts {
  /// As it stands there; cut where no honest one is that long.
  std::optional<std::string> created_at;
  std::optional<std::int64_t> step;
  std::optional<std::string> session_id;
  std::optional<std::string> stage;
  Digest sha256{};
  std::optional<std::uint64_t> size_bytes;
};

/// Throws what parse_manifest throws.
ManifestFacts read_facts(std::string_view manifest, const std::string& subject);

enum class SnapshotState {
  complete,     ///< npz and manifest are there and agree in size
  refused,      ///< both are there, and wrong: `error` says why
  no_manifest,  ///< the npz alone
  no_npz,       ///< anything but the npz
  unreadable,   ///< what there is could not be read: `error` says why
};
std::string_view name_of(SnapshotState state);

/// A snapshot in a place, or what there is of one.
struct PlacedSnapshot {
  std::string name;  ///< of the npz
  std::array<std::optional<PartMark>, k_parts> parts;
  SnapshotState state = SnapshotState::no_npz;
  std::optional<ManifestFacts> facts;
  /// The manifest is the `.next` that an interrupted writer left.
  bool interrupted = false;
  std::optional<Error> error;

  const std::optional<PartMark>& part(Part which) const {
    return parts[static_cast<std::size_t>(which)];
  }
  /// The npz's; of an interrupted writer's rest, of all there is.
  std::uint64_t size_bytes() const;
  /// The npz's, else that of the newest part.
  std::int64_t modified_s() const;
  /// The manifest's created_at, else when it was modified.
  Timestamp time() const;
  /// Every part is a file.
  bool is_plain() const;
};

/// What a writer or a fetch left that never became a snapshot.
struct PlacedWork {
  std::string name;
  std::string npz;  ///< the name it was to get
  /// An upload to a store, in parts; else a temporary file.
  bool is_upload = false;
  std::string upload_id;
  PartMark mark;
};

struct PlaceSurvey {
  std::vector<PlacedSnapshot> snapshots;
  std::vector<PlacedWork> works;
};

enum class WorkNeed { needed, not_needed };

enum class Removal {
  removed,
  gone,          ///< it was not there any more
  in_use,        ///< its writer lives, or it is another one by now: left alone
  witness_lost,  ///< one of the witnesses is not what it was: nothing was removed
};

/// A directory of snapshots, on a disk or in a store.
///
/// Nothing that this knows of a place is held to be true for long: others write, prune and
/// die there meanwhile.  Throws Error(io | remote | access_denied) where the place itself
/// cannot be looked at, Error(not_found, `place-missing`) where there is none.
class Place {
 public:
  virtual ~Place() = default;
  /// The npz's whole path or URL, free of secrets; for people it goes through printable().
  virtual std::string path_of(const std::string& npz_name) const = 0;

  /// All that is there, in no order.  What is wrong with one is said in its entry.  Where a
  /// snapshot goes while it is looked at, the place is listed again: one that took its place
  /// must not be missed with it.
  virtual PlaceSurvey survey(WorkNeed works) = 0;

  /// Reads all of a complete snapshot; what is wrong with it, or why it could not be read.
  virtual std::optional<Error> check(const PlacedSnapshot& snapshot) = 0;

  /// Removes a snapshot, or what there is of one: its npz first, which is the instant from
  /// which on there is no snapshot; then the rest, which is known as ours by its names,
  /// should this be killed in between.
  ///
  /// Only where each of its parts is the one that the survey saw or is gone, and each of
  /// `witnesses`, npz and manifest, is the one it was.
  virtual Removal remove(const PlacedSnapshot& victim,
                         const std::vector<const PlacedSnapshot*>& witnesses) = 0;
  virtual Removal remove(const PlacedWork& work) = 0;

  /// Whether settle() is for this one.
  virtual bool can_settle(const PlacedSnapshot& snapshot) const = 0;
  /// Completes or takes away what an interrupted writer left beside a snapshot.
  virtual void settle(const PlacedSnapshot& snapshot) = 0;
};

/// Whether an error of Place::check is about the snapshot, and not about how it was read.
bool is_verdict(const Error& error);

/// The order in which "newest" is meant, the newest first.
///
/// Snapshots of one session (`session_id`) stand together, ordered by step where each of
/// them has one, which no machine's clock can disturb; sessions, and snapshots without one,
/// by created_at (of a session, its latest), and by when the npz was modified where a
/// manifest says nothing.  Then by step, then by name.  It is a total order.
void sort_newest_first(std::vector<PlacedSnapshot>& snapshots);

}  // namespace mad
