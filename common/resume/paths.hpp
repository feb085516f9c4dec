#pragma once

#include <optional>
#include <string>

namespace mad {

/// The directory part of a relative path, empty where it has none.
std::string parent_of(const std::string& path);

/// `DIRECTORY/NAME`, for messages.
std::string path_in(const std::string& directory, const std::string& name);

/// realpath(3); nothing where that fails, errno saying why.
std::optional<std::string> real_path(const std::string& path);

/// Of two real paths.
bool is_at_or_under(const std::string& path, const std::string& directory);

}  // namespace mad
