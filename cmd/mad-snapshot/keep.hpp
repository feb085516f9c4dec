#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/report.hpp"

namespace mad {

/// `--keep` as a number; nothing where it was not given.  `output` is -o as it was given.
/// Throws Error(usage) where that is no directory.
std::optional<std::uint64_t> parse_keep(const std::string& keep, const std::string& output);

/// Removes the older snapshots of the sequence that `npz_path`, just published, belongs to, but
/// for the newest `keep` valid ones, that one included.  Sets `pruned` and `kept`.  The
/// snapshot is there whatever becomes of it: a failure is a warning, and `prune_error` its
/// reason; under a deadline nothing is removed, because reading what is kept takes its time.
void keep_newest(std::uint64_t keep, const std::string& npz_path, Report& report);

}  // namespace mad
