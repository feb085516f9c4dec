#pragma once

#include <cstdint>
#include <string>

#include "io/fd.hpp"

namespace mad {

/// A file without a name: it is gone with its descriptor, however its holder ends.
/// In `directory`, or in $TMPDIR, else /var/tmp, where `directory` is empty (/tmp
/// is memory on many machines).  Throws output_error.
Fd open_unnamed_file(const std::string& directory);

}  // namespace mad
