#pragma once

#include <optional>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "npz/npz_auditor.hpp"

namespace mad::fuzz {

/// Small, so that no input takes long.
inline NpzLimits npz_limits() {
  NpzLimits limits;
  limits.max_bytes = std::uint64_t{1} << 20U;
  limits.max_directory_bytes = std::uint64_t{1} << 20U;
  return limits;
}

/// Nothing where it is refused.
inline std::optional<NpzMembers> audited(const Fd& file, std::uint64_t size_bytes) {
  std::optional<NpzMembers> members;
  refuses([&] { members = audit_npz(file.get(), size_bytes, npz_limits(), "sim.npz"); });
  return members;
}

}  // namespace mad::fuzz
