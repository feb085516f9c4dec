#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/file.hpp"
#include "manifest/topology.hpp"
#include "npz/npz_members.hpp"
#include "resume/unpack.hpp"

namespace mad {

struct SwapOptions {
  Durability durability = Durability::full;
  int lock_timeout_ms = 30'000;
};

/// How a state directory gets its new arrays.
enum class SwapMethod {
  exchange,  ///< a complete new directory changes places with it in one system call
  create,    ///< there is none yet: a complete new directory is renamed to its name
  in_place,  ///< file by file under a journal in it (journal.hpp)
};
const char* name_of(SwapMethod method);

/// A state directory whose arrays are replaced, all of them or none.
///
/// The path is resolved once: where it is a symbolic link, the directory that it leads to
/// is swapped.  What in it is no array (listing.hpp) survives; its mode and owner, those
/// of its nodes and of arrays of the same name are kept, and new files otherwise belong to
/// the directory's owner (where this process may give them away).  In place is how a
/// mount point, a directory whose parent cannot be written, the lower layer of an overlay,
/// and the current directory (COMMAND's, which must not find itself in a removed one) are
/// done.
///
/// Runs on the same directory wait for each other (flock on the directory, within
/// `lock_timeout_ms`).  A SIGKILL at any point leaves the old arrays or the new ones,
/// or a journal that the next run's constructor rolls back, and scratch directories that
/// it removes.
///
/// Throws Error(io), Error(refused, `state-invalid`), and Error(start_refused,
/// `state-unsettled`) where a journal is there and cannot be rolled back: then nothing
/// must be started on that directory.
class StateSwap {
 public:
  /// Recovers and removes what dead runs left; changes nothing else.
  StateSwap(const std::string& path, const SwapOptions& options);
  /// Without commit(): leaves the directory as it was and nothing behind.
  ~StateSwap();
  StateSwap(const StateSwap&) = delete;
  StateSwap& operator=(const StateSwap&) = delete;

  /// The directory, absolute and free of links.
  const std::string& path() const;

  /// Finds out how the swap can be done and makes room for it, so that what makes it
  /// impossible is known before anything is read.
  void prepare();
  /// After prepare(): a directory on the same file system, for a temporary.
  std::string scratch_path() const;
  /// After commit(): how it was done.
  SwapMethod method() const;

  /// Refuses (code topology) an incoming state that differs from the arrays that are in the
  /// directory, where there are any; commit() does so again, under the lock.
  void require_present_topology(const Topology& incoming, const std::string& subject);

  /// Unpacks an audited archive beside the directory, checking every CRC, and syncs it.
  /// Refuses, besides, keys that cannot all be files at once (`member-collision`) or whose
  /// files would be hidden (`member-name`).
  void unpack(int archive, const NpzMembers& members, AfterUnpacking after,
              const std::string& subject);

  /// Makes the unpacked arrays the directory's.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
