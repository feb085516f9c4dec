#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/file.hpp"

namespace mad {

/// The journal's name inside the state directory.
inline constexpr std::string_view k_journal_name = ".mad-swap";

/// What a swap entry by entry is going to do, in paths relative to the directory.
struct JournalPlan {
  /// Arrays that leave, for `old/`.
  std::vector<std::string> leaving;
  /// Arrays that come, from `new/`.
  std::vector<std::string> coming;
  /// Directories that do not exist yet, parents first.
  std::vector<std::string> made;
};

/// Replaces the arrays in a directory that cannot be exchanged whole, file by file.
///
/// `scratch` is a directory in `directory` that holds `new/`, complete and durable.
/// The plan is written into it; its rename to `.mad-swap` begins the journal; the old
/// arrays move to `old/`, the new ones in; every touched directory is synced; the
/// rename of `.mad-swap` back to `scratch` commits.  A failure on the way, or
/// a signal, rolls back and is thrown on.  Whoever finds a `.mad-swap` and has the
/// directory's lock rolls it back (roll_back_journal): its owner died.
///
/// The caller holds the exclusive lock on `directory`.  After a return or a throw,
/// `scratch` holds nothing but what may be deleted, unless Error(start_refused,
/// `state-unsettled`) says that the rollback failed too and the journal is still there.
void swap_under_journal(int directory, const std::string& scratch, const JournalPlan& plan,
                        Durability durability, const std::string& subject);

bool has_journal(int directory);

/// Puts the old arrays back, under the directory's exclusive lock, and renames the
/// journal to `retired`, which may then be deleted.  May be killed and run again at any
/// point.  Throws Error(start_refused, `state-unsettled`).
void roll_back_journal(int directory, const std::string& retired, Durability durability,
                       const std::string& subject);

/// mkdir for each component of a relative path that is not there yet.
void make_directories(int directory, const std::string& path, const std::string& subject);

}  // namespace mad
