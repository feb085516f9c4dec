#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "verify/damage.hpp"

namespace mad {

enum class CheckResult { ok, bad, not_checked };

/// One check of a snapshot, as a person or a program wants to be told of it.
struct Finding {
  /// `signature`, `schema`, `freshness`, `size`, `sha256`, `chunks`, `structure`, `members`,
  /// `topology`.
  std::string check;
  CheckResult result = CheckResult::not_checked;
  /// Where these differ, both are shown.
  std::string expected;
  std::string found;
  /// One or more lines.
  std::string detail;
};

/// What mad-verify says of one file.
struct Verdict {
  std::string path;
  std::vector<Finding> findings;
  std::optional<std::string> sha256;
  std::optional<std::uint64_t> size_bytes;
  std::optional<std::uint64_t> arrays;
  /// The first thing that is wrong, in the order of the checks; it gives the exit code.
  std::optional<Error> error;
  /// --skip-integrity-check: that nothing was wrong does not make it verified.
  bool integrity_skipped = false;
  /// Where it is damaged, once a check of its bytes, its archive or its manifest failed.
  std::optional<Damage> damage;
  /// Why nothing was salvaged that was to be.  It gives the exit code where there is no `error`.
  std::optional<Error> salvage_error;

  ExitCode code() const {
    return error ? error->code : salvage_error ? salvage_error->code : ExitCode::ok;
  }
};

/// The path on a line, then a line a check (`  sha256     ok   4194…`), further lines of a
/// check below it, then the verdict.
std::string format_verdict(const Verdict& verdict);
/// One JSON object on one line (mad-verify(1)).
std::string format_verdict_json(const Verdict& verdict);

}  // namespace mad
