#pragma once

#include <memory>
#include <string>

#include "retention/place.hpp"

namespace mad {

/// A directory on this machine's disks.
///
/// A survey lists under the directory's shared lock, or after two seconds without it where a
/// copier holds it for long.  What is removed goes under the exclusive lock that writers
/// publish under, one snapshot at a time.
///
/// Throws Error(not_found, `place-missing`) where there is nothing under that name.
std::unique_ptr<Place> open_local_place(const std::string& directory);

}  // namespace mad
