#pragma once

#include <string>
#include <vector>

#include "io/file.hpp"
#include "npz/npz_members.hpp"
#include "resume/listing.hpp"

namespace mad {

/// Refuses keys that cannot all be files of one directory: `a/b` wants a file where
/// `a/b.npy/c` wants a directory (`member-collision`), or whose files no reader of a state
/// would see, because a component begins with a dot (`member-name`).
void require_distinct_paths(const NpzMembers& members, const std::string& subject);

/// Who new files and directories belong to, and how they are made, by what they replace.
struct Inheritance {
  StateListing before;
  /// Of the state directory itself; st_mode 0 where there is none.
  struct ::stat top {};
};

/// Whether an archive is still needed once it is unpacked.  Of one that is not, what has
/// been unpacked is given back at once, so that a state does not take twice its room.
enum class AfterUnpacking { archive_kept, archive_spent };

/// Writes each member as `KEY.npy` under `tree`, an empty directory of ours, checking
/// CRCs and lengths on the way, then syncs files and directories, `tree` included.
void unpack_members(int tree, int archive, const NpzMembers& members,
                    const Inheritance& inheritance, AfterUnpacking after, Durability durability,
                    const std::string& subject);

/// Links what is no array from one directory into another on the same file system, under
/// the same paths, and syncs; directories are made anew with mode and owner.  Nothing is copied.
/// Returns false where some entry cannot be linked, or something is mounted there.
/// Throws Error(refused, `state-invalid`) where an array stands in the way.
bool link_others(int from, const StateListing& listing, int tree, Durability durability,
                 const std::string& subject);

/// Gives a file or directory the mode and owner of another.  An owner that this process may
/// not give it is let be.
void inherit(int fd, const struct ::stat& from, const std::string& subject);

}  // namespace mad
