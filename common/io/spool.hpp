#pragma once

#include <cstdint>
#include <string>

#include "io/fd.hpp"

namespace mad {

/// $TMPDIR, else /var/tmp (/tmp is memory on many machines).
std::string spool_directory();

/// A file without a name: it is gone with its descriptor, however its holder ends.
/// In `directory`, or in spool_directory() where that is empty.  Throws output_error.
Fd open_unnamed_file(const std::string& directory);

/// Gives back what a range of a temporary holds on disk or in memory, once it is not needed
/// any more, so that the copy made of it does not take twice the room.  Does nothing where
/// the file system cannot (fallocate(2), FALLOC_FL_PUNCH_HOLE).
void release_pages(int temporary, std::uint64_t offset, std::uint64_t length);

}  // namespace mad
