#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "npz/npz_writer.hpp"
#include "snapshot/publish.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

/// What to take a snapshot of, and what its manifest says.
struct SnapshotRequest {
  /// A state directory (or a link to one), an npz, or `-` for an npz on standard input.
  std::string state;
  /// What messages call it; the same where it is empty.
  std::string subject;
  /// Of a directory.  Given up on the way where the deadline is too near for it.
  NpzCompression compression = NpzCompression::none;
  /// Whether the manifest gets its table of members.
  bool member_table = true;
  /// Keys that are read, and stand in the npz, before all others.  One that a state does not
  /// have is warned of: a preemption must not fail by it.
  std::vector<std::string> first;
  /// The manifest's `extra`, a JSON object.
  std::string extra = "{}";
  /// Called once nothing more is read from the state, and before anything is synced:
  /// the state's owner may go on.
  std::function<void()> state_was_read = [] {};
};

/// A snapshot that was read whole, checked and hashed.
struct TakenSnapshot {
  /// The manifest's exact bytes.
  std::string manifest;
  FileDigests digests;
  std::optional<std::int64_t> step;
  std::uint64_t arrays = 0;
  /// How many of them are stored although `deflate` was asked for.
  std::uint64_t arrays_not_compressed = 0;
};

/// Reads the state into the publisher's temporary, and does not publish it.
///
/// An npz is taken byte for byte and refused where audit_npz or check_npz_data do.
/// Throws what StateTree, write_npz, the auditor and the publisher throw; Error(refused,
/// `state-changed`) where the state changed meanwhile, `state-invalid` where one without
/// arrays would take the place of a snapshot.
TakenSnapshot take_snapshot(const SnapshotRequest& request, SnapshotPublisher& publisher);

/// Reads the state to a stream.  What cannot be taken back is checked first: the archive
/// is audited before its first byte goes out (standard input is spooled for it).  A state
/// without arrays is refused: what the stream replaces is not known here.
TakenSnapshot stream_snapshot(const SnapshotRequest& request, Sink& stream);

/// `--extra-file`'s object, then each `KEY=VALUE`, then `session_id` (null where it
/// is nothing) and `stage_at_snapshot`, which win.  Throws Error(usage).
std::string make_extra(const std::string& extra_file, const std::vector<std::string>& extra,
                       const std::optional<std::string>& session_id, const std::string& stage);

/// Where mad-snapshot writes.
struct SnapshotOutput {
  std::string path;
  Naming naming = Naming::exact;
};

/// `given`, else $MADDENING_SNAPSHOT_PATH, else maddening_preempt_snapshot.npz in
/// $MADDENING_SNAPSHOT_DIR, else in /tmp.  `.npz` is appended to a name that lacks it;
/// a directory (there already, or with a final `/`) means a new name in it each time.
SnapshotOutput choose_output(const std::string& given);

}  // namespace mad
