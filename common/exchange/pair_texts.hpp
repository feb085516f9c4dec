#pragma once

#include <optional>
#include <string>

namespace mad {

/// The small files of a snapshot, their exact bytes; nothing where there is none.
struct PairTexts {
  std::optional<std::string> manifest;
  /// Of that very manifest; never without it.
  std::optional<std::string> signature;
};

}  // namespace mad
