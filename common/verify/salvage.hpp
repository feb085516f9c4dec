#pragma once

#include <string>

#include "verify/damage.hpp"

namespace mad {

/// How many arrays were written, and how many are lost.
struct Salvaged {
  std::uint64_t proven = 0;
  std::uint64_t consistent = 0;
  std::uint64_t not_written = 0;
};

/// Refuses a DIR that is not fit for salvage(), before anything is read: one that is there
/// and not empty.  Throws Error(usage).
void check_salvage_directory(const std::string& directory);

/// Writes what is intact of `npz` to `directory`: DIR/proven/NODE/FIELD.npy and
/// DIR/consistent/NODE/FIELD.npy, and a list of all arrays, DIR/salvage.json
/// (mad-verify(1)).
///
/// All or nothing: it is made beside DIR and renamed.  Of each array the CRC-32 is held
/// against what the examination found, and the npz must not change meanwhile.  An array
/// whose name is no key, or whose file cannot be, is listed with the cause.
Salvaged salvage(const Refusal& refusal, const Damage& damage, const std::string& directory);

}  // namespace mad
