#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "io/file.hpp"
#include "io/sink.hpp"

namespace mad {

struct PublishOptions {
  Durability durability = Durability::full;
  /// Mode of both files; where absent, that of the npz replaced, else 0600.
  std::optional<mode_t> mode;
  int lock_timeout_ms = 10'000;
};

/// A snapshot replaced so that at every instant, through SIGKILL, power loss and a
/// second writer that dies too, these tools find the whole old one or the whole new.
///
/// Construction takes the directory's exclusive lock, recovers what an earlier writer
/// left (recover_snapshot), removes dead temporaries, lets the lock go, and opens the
/// temporary npz, which write() fills.  publish() then: fsync(npz); lock; recover
/// again; write the manifest as `.next`, fsync; fsync(directory); rename the npz;
/// fsync(directory); rename `.next` to the manifest; fsync(directory).  Destruction
/// without publish() removes the temporary and leaves the old snapshot as it was.
///
/// Throws Error(io); Error(refused, `not-regular`) where `npz_path` or its manifest
/// is a symbolic link or no regular file.
class SnapshotPublisher final : public Sink {
 public:
  SnapshotPublisher(const std::string& npz_path, const PublishOptions& options);
  ~SnapshotPublisher() override;
  SnapshotPublisher(const SnapshotPublisher&) = delete;
  SnapshotPublisher& operator=(const SnapshotPublisher&) = delete;

  /// The next bytes of the npz.
  void write(Bytes bytes) override;
  /// Forget what was written so far: the stream began again.
  void restart();
  /// The temporary npz, open for reading and writing, for checks before publishing.
  int npz_fd() const;
  /// `manifest` is its exact bytes; nothing publishes a bare npz (for
  /// --skip-integrity-check) and removes a manifest that would not belong to it.
  void publish(const std::optional<std::string>& manifest);
  void finish() override;  // a Sink's end: only publish() makes it count

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What recover_snapshot found and did.
enum class Recovery { nothing, completed, discarded };

/// Brings the pair to rest after an interrupted writer, under the directory's
/// exclusive lock, which it takes: a mismatched pair whose npz matches `.next` gets it
/// as its manifest; else `.next` is deleted; then fsync(directory).
Recovery recover_snapshot(const std::string& npz_path, const PublishOptions& options);

/// Where a new snapshot of `npz_path` goes: itself or, where MAD_RESUME_STATUS says
/// `failed` and something is there, `<stem>-after-failed-<UTC>.npz` (said as a warning).
std::string spare_the_unread_snapshot(const std::string& npz_path);

/// The next name in a directory: `<stem>-<10-digit sequence>-<UTC time>.npz`, the
/// sequence counting on from the highest there.
std::string next_name_in(const std::string& directory, const std::string& stem);

}  // namespace mad
