#include "resume/paths.hpp"

#include <cstdlib>
#include <memory>

namespace mad {

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string path_in(const std::string& directory, const std::string& name) {
  return directory + '/' + name;
}

std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

bool is_at_or_under(const std::string& path, const std::string& directory) {
  return path == directory || directory == "/" ||
         path.compare(0, directory.size() + 1, directory + '/') == 0;
}

}  // namespace mad
