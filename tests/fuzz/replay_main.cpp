// mad-fuzz-replay: runs fuzz targets over inputs that there are already, where there is no
// libFuzzer: mad-fuzz-replay DIRECTORY…, each with a subdirectory TARGET for some targets.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "fuzz/fuzz.hpp"

namespace mad::fuzz {
namespace {

/// What is being tried, for the handler.
std::string input_now;

void name_input(int signal) {
  (void)!write(STDERR_FILENO, input_now.data(), input_now.size());
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void replay(Target target, const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // Of exactly this size, so that the sanitizer sees a read beyond it.
  const auto bytes = std::make_unique<std::uint8_t[]>(text.size());
  if (!text.empty()) std::memcpy(bytes.get(), text.data(), text.size());
  run(target, bytes.get(), text.size());
}

}  // namespace

}  // namespace mad::fuzz

int main(int argc, char** argv) {
  using namespace mad::fuzz;
  std::signal(SIGABRT, name_input);
  std::signal(SIGSEGV, name_input);
  std::map<std::string, int> counts;
  for (int i = 1; i < argc; ++i) {
    for (const auto& [name, target] : targets()) {
      const std::filesystem::path directory = std::filesystem::path(argv[i]) / name;
      if (!std::filesystem::is_directory(directory)) continue;
      for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        input_now = "fuzz: with " + entry.path().string() + "\n";
        replay(target, entry.path());
        ++counts[name];
      }
    }
  }
  for (const auto& [name, target] : targets()) std::printf("%s %d\n", name.c_str(), counts[name]);
  return 0;
}
