#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace mad::test {

/// A directory of the test's own, gone afterwards.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "mad-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  bool has(const std::string& name) const {
    return std::filesystem::exists(std::filesystem::symlink_status(path_ / name));
  }
  /// {relative path: text} of every file.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path());
      found[std::filesystem::relative(entry.path(), path_).string()] =
          std::string(std::istreambuf_iterator<char>(file), {});
    }
    return found;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace mad::test
