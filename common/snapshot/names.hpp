#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// `sim` of `sim.npz`; a name without `.npz` is its own stem.
std::string stem_of(std::string_view npz_name);

/// Of the names in a directory, the npz of the sequence `<stem>-<10 digits>-…` that is its last.
std::optional<std::string> newest_name(const std::vector<std::string>& entries,
                                       const std::string& stem);

/// Of the names in a directory, those npz names of the sequence
/// `<stem>-<10 digits>-<time>.npz` that an interrupted writer left a `.next` for.
std::vector<std::string> interrupted_names(const std::vector<std::string>& entries,
                                           const std::string& stem);

/// Whether MAD_RESUME_STATUS says that the resume on this machine `failed`.
bool resume_failed();

/// `<stem>-after-failed-<UTC>.npz`: what is written in place of `npz_path`, which is there
/// and may be what could not be read.
std::string after_failed_name(const std::string& npz_path);

/// Says that one name is written in place of the other; both as people may see them.
void warn_of_spared(const std::string& kept, const std::string& written);

}  // namespace mad
