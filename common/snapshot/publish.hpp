#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/file.hpp"
#include "io/sink.hpp"
#include "io/source.hpp"

namespace mad {

/// Whether the path names the snapshot, or only gives the stem of a new name.
enum class Naming {
  exact,
  /// `DIR/STEM.npz` becomes what next_name_in(DIR, STEM) says at the moment of
  /// publishing, under the lock, so that name order is commit order.
  sequence,
};

struct PublishOptions {
  Durability durability = Durability::full;
  /// Mode of the files; where absent, that of the npz replaced, else 0600.  In a
  /// directory that everybody may write to (/tmp) nothing is inherited.
  std::optional<mode_t> mode;
  int lock_timeout_ms = 10'000;
  Naming naming = Naming::exact;
};

/// A snapshot replaced so that at every instant, through SIGKILL, power loss and a
/// second writer that dies too, these tools find the whole old one or the whole new.
///
/// Construction recovers what an earlier writer left (recover_snapshot) and removes
/// dead temporaries where the directory's lock is free, and opens the temporary npz,
/// which write() fills; the temporary is kept alive by its own flock, so the directory's
/// lock is not held meanwhile.  publish() then: fsync(npz); lock; recover; fsync(directory),
/// which settles what an earlier writer renamed and could not sync; write the manifest
/// as `.next`, fsync; fsync(directory); rename the npz; fsync(directory); rename
/// `.next` to the manifest; fsync(directory).  A signature goes the same way, each of its
/// steps before the manifest's (pending.hpp): what is found is a whole triple.
///
/// A failure before the npz is renamed removes the temporary and `.next` and leaves
/// the old snapshot as it was.  One after it leaves `.next`, by which readers find the
/// new snapshot, and the message says so.  Destruction without publish() removes the
/// temporary.
///
/// Throws Error(io); Error(refused, `not-regular`) where `npz_path`, its manifest or its
/// signature is a symbolic link or no regular file.
class SnapshotPublisher final : public Sink {
 public:
  SnapshotPublisher(const std::string& npz_path, const PublishOptions& options);
  ~SnapshotPublisher() override;
  SnapshotPublisher(const SnapshotPublisher&) = delete;
  SnapshotPublisher& operator=(const SnapshotPublisher&) = delete;

  /// The snapshot whose place the new one takes: under the same name, or the newest of the
  /// sequence.
  std::optional<std::string> superseded() const;
  /// Asks for the space now, so that a full disk is known before anything is read;
  /// does nothing where the file system cannot.
  void reserve(std::uint64_t size_bytes);
  /// The next bytes of the npz.
  void write(Bytes bytes) override;
  /// At least one byte and at most `most` of `source`, or 0 at its end.
  std::size_t append(Source& source, std::size_t most);
  /// Takes `file`, which is beside the snapshot and locked, in place of its own temporary, for
  /// bytes that npz_fd() gets in any order.  It is the caller's until it is published.
  void adopt(Temporary file);
  /// The first `bytes` of what npz_fd() gets are there: writing back may begin.
  void written_to(std::uint64_t bytes);
  /// Forget what was written so far: the stream began again.
  void restart();
  /// The temporary npz, open for reading and writing, for checks before publishing.
  int npz_fd() const;
  /// `manifest` is its exact bytes; nothing publishes a bare npz (for
  /// --skip-integrity-check), whose old manifest is removed before it is replaced:
  /// what readers find on the way is a bare npz, the old one or the new.  `signature` is of
  /// exactly these bytes; without one, that of the snapshot replaced goes with it.
  void publish(const std::optional<std::string>& manifest,
               const std::optional<std::string>& signature = {});
  void finish() override {}  // a Sink's end: only publish() makes it count
  /// Where the snapshot is; with Naming::sequence, known after publish().
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What recover_snapshot found and did.
enum class Recovery { nothing, completed, discarded };

/// Brings the pair to rest after an interrupted writer, under the directory's
/// exclusive lock, which it takes: an npz that matches `.next` gets it as its manifest, with
/// the signature that came along; else `.next` is deleted; then fsync(directory).  Dead
/// temporaries are removed too.
Recovery recover_snapshot(const std::string& npz_path, const PublishOptions& options);

/// Where a new snapshot of `npz_path` goes: itself or, where MAD_RESUME_STATUS says
/// `failed` and something is there, `<stem>-after-failed-<UTC>.npz` (said as a warning).
std::string spare_the_unread_snapshot(const std::string& npz_path);

/// The next name in a directory: `<stem>-<10-digit sequence>-<UTC time>.npz`, the
/// sequence counting on from the highest there.
std::string next_name_in(const std::string& directory, const std::string& stem);

}  // namespace mad
