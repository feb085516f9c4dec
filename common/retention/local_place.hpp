#pragma once

#include <memory>
#include <string>

#include "retention/place.hpp"

namespace mad {

/// A directory on this machine's disks.
///
/// A survey takes no lock but for what an interrupted writer left, so that a copier that
/// holds the directory's for long does not stop it.  What is removed goes under the
/// exclusive lock that writers publish under, one snapshot at a time.
///
/// Throws Error(not_found, `place-missing`) where there is nothing under that name.
std::unique_ptr<Place> open_local_place(const std::string& directory);

}  // namespace mad
