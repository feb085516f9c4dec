#pragma once

#include <string>

#include "io/fd.hpp"

namespace mad {

/// A directory of our own, `.FOR.mad-XXXXXXXX` in `parent`, mode 0700, under an exclusive
/// flock for as long as its owner lives, so that the next run can tell it from one that
/// a SIGKILL left behind.  Destruction removes it with all that is in it.
class ScratchDirectory {
 public:
  /// `parent` must outlive it.  Throws output_error about `subject`.
  ScratchDirectory(int parent, const std::string& made_for, const std::string& subject);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  /// Whether destruction removes it, which must not happen while it holds the only copy
  /// of something.  The lock stays until destruction either way.
  enum class Fate { removed, kept };
  void set_fate(Fate fate) { fate_ = fate; }

 private:
  int parent_;
  std::string name_;
  Fd fd_;
  Fate fate_ = Fate::removed;
};

/// A fresh name of that form.
std::string scratch_name(const std::string& made_for);
bool is_scratch_name(const std::string& name, const std::string& made_for);

enum class ScratchOwner { anybody, this_user };

/// Removes the scratch directories made for `made_for` whose owner is dead.  What cannot
/// be removed is let be.
void remove_dead_scratch(int parent, const std::string& made_for, ScratchOwner owner);

/// Removes a file or a directory with all that is in it.  Follows no link and enters no
/// other mount.  Returns whether all of it is gone; never throws.
bool remove_tree(int parent, const std::string& name) noexcept;

/// Whether an open directory is where a file system or a bind is mounted.
bool is_mount_root(int directory);

}  // namespace mad
