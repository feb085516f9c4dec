#pragma once

#include <random>
#include <string>
#include <string_view>

namespace mad::test {

/// `seed` with one to three of its bytes changed to one of `bytes`, dropped, doubled or moved in.
inline std::string mutated(const std::string& seed, std::string_view bytes, std::mt19937& random) {
  std::string text = seed;
  for (auto changes = random() % 3 + 1; changes > 0; --changes) {
    const std::size_t at = random() % text.size();
    switch (random() % 4) {
      case 0:
        text[at] = bytes[random() % bytes.size()];
        break;
      case 1:
        text.erase(at, random() % 8 + 1);
        break;
      case 2:
        text.insert(at, 1, bytes[random() % bytes.size()]);
        break;
      default:
        text.insert(at, seed, random() % seed.size(), random() % 40);
    }
    if (text.empty()) text = " ";
  }
  return text;
}

}  // namespace mad::test
