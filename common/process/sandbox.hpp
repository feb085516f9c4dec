#pragma once

#include <string>
#include <vector>

namespace mad {

/// What may still be reached by its path from inside; descriptors that are open keep working.
struct Cage {
  /// Directories, everything beneath which may be read.
  std::vector<std::string> read_beneath;
  /// Those in which files and directories may be made, replaced and removed besides.
  std::vector<std::string> write_beneath;

  /// The directory that holds `path`, or `path` itself where that is one.
  void allow_reading(const std::string& path);
  void allow_writing(const std::string& path);
};

/// Gives up for good, with Landlock as far as this kernel's goes: to open, make or remove any
/// file but the cage's, to execute any, to bind or connect TCP sockets (ABI 4), to signal
/// processes outside and to reach their abstract sockets (ABI 6); and to gain privileges.
///
/// Of this thread and those that it starts: call it before the first.  Where there is no
/// Landlock it says so (log_verbose) and goes on.  Does not throw.
void enter_cage(const Cage& cage) noexcept;

/// What enter_cage would do here, on a line, for `--version -v`.
std::string describe_cage();

}  // namespace mad
