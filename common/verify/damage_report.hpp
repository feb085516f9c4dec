#pragma once

#include <string>
#include <vector>

#include "verify/damage.hpp"

namespace mad {

/// What an interrupted writer left beside the npz.
struct Neighbours {
  /// The path of `.next`, empty where there is none.
  std::string next;
  bool next_is_whole = false;
};

/// Fills in damage.findings from what was gathered, the most telling first.
void report_damage(const Refusal& refusal, const ArchiveLayout& layout, const Evidence& evidence,
                   const std::vector<Witness>& witnesses, const Neighbours& neighbours,
                   Damage& damage);

}  // namespace mad
