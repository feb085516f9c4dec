// libFuzzer's entry: the environment's MAD_FUZZ_TARGET names the target of this process.
#include <cstdio>
#include <cstdlib>

#include "fuzz/fuzz.hpp"

namespace {

mad::fuzz::Target chosen_target() {
  const char* name = std::getenv("MAD_FUZZ_TARGET");
  const auto& targets = mad::fuzz::targets();
  const auto found = targets.find(name == nullptr ? "" : name);
  if (found != targets.end()) return found->second;
  std::fputs("fuzz: expected MAD_FUZZ_TARGET to be one of:\n", stderr);
  for (const auto& target : targets) std::fprintf(stderr, "%s\n", target.first.c_str());
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const mad::fuzz::Target target = chosen_target();
  mad::fuzz::run(target, data, size);
  return 0;
}
