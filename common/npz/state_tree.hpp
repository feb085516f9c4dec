#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/fd.hpp"
#include "npz/npy_header.hpp"

namespace mad {

/// One array of a state directory.
struct StateArray {
  /// Identity of the file, to tell whether it changed.
  struct Stamp {
    std::uint64_t device, inode, size_bytes;
    std::int64_t modified_ns, changed_ns;
    bool operator==(const Stamp&) const = default;
  };

  /// `node/field`; a field may contain more slashes.
  std::string key;
  /// Of the whole `.npy`.
  std::uint64_t size_bytes = 0;
  NpyHeader header;
  Stamp stamp{};
};

/// A state on disk: a directory `NODE/FIELD.npy` (or a symbolic link to one, resolved
/// once, at construction), walked without following any further link.
///
/// Refuses (code refused) what cannot be a state: a symbolic link, FIFO, device or
/// file that is no `.npy` inside (`state-invalid`), an object array (`npy-object`), a
/// header that does not match the file's size (`npy-size`), a key that is none.
/// Names that begin with `.` at any level are not part of the state.  A STATE that
/// does not exist is not_found, reason `state-missing`.
class StateTree {
 public:
  explicit StateTree(const std::string& path);

  /// Sorted bytewise by key, so that the same state gives the same archive, but for
  /// what was put first.
  const std::vector<StateArray>& arrays() const { return arrays_; }

  /// Puts these before all others, in this order.  Returns those that the state does not have.
  std::vector<std::string> put_first(const std::vector<std::string>& keys);

  /// Opens one array for reading, and refuses with `state-changed` where its inode,
  /// size or times differ from what the walk saw.
  Fd open(const StateArray& array) const;

  /// Walks again and refuses with `state-changed` where anything differs: files
  /// added, removed, replaced or written (by size, inode and time stamps).
  void check_unchanged() const;

 private:
  std::string path_;
  Fd directory_;
  std::vector<StateArray> arrays_;
};

}  // namespace mad
