#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// `sim` of `sim.npz`; a name without `.npz` is its own stem.
std::string stem_of(std::string_view npz_name);

/// Of the names in a directory, those npz names of the sequence
/// `<stem>-<10 digits>-<time>.npz` that an interrupted writer left a `.next` for.
std::vector<std::string> interrupted_names(const std::vector<std::string>& entries,
                                           const std::string& stem);

}  // namespace mad
