#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "io/file.hpp"
#include "snapshot/pair.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// A manifest, and its signature, under the names `.next` while they wait for their npz.
///
/// No reader has the key at hand, so the order alone says at every instant which signature is
/// which manifest's.  prepare() makes the signature's `.next` durable before it begins with the
/// manifest's; complete() makes the signature's name durable before the manifest's.  So a
/// manifest's `.next` has its signature in the signature's `.next`, else under the final name
/// already; a manifest under its own name has it under the final name; and a signature's `.next`
/// alone is nobody's.  A manifest without a signature that replaces one with one carries an empty
/// file through the same steps, which readers take for none and complete() removes.
///
/// All under the directory's exclusive lock, held by the caller.  Destruction between prepare()
/// and keep() takes back what was written.  Throws Error(io).
class PendingManifest {
 public:
  /// `names` must outlive it.
  PendingManifest(int directory, const PairNames& names, Durability durability);
  ~PendingManifest();
  PendingManifest(const PendingManifest&) = delete;
  PendingManifest& operator=(const PendingManifest&) = delete;

  /// Ends with fsync(directory).
  void prepare(const std::string& manifest, const std::optional<std::string>& signature,
               mode_t mode);
  /// The npz is there: from now on they stay.
  void keep() { kept_ = true; }
  /// To their final names; the last rename is not synced yet, which settle() does.
  void complete();
  void settle();

 private:
  int directory_;
  const PairNames& names_;
  Durability durability_;
  bool begun_ = false;
  bool kept_ = false;
};

/// recover_snapshot, with the directory's exclusive lock held.
Recovery recover_locked(int directory, const PairNames& names, Durability durability);

}  // namespace mad
