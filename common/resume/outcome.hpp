#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/report.hpp"
#include "bundle/bundle.hpp"

namespace mad {

enum class ResumeStatus { resumed, fresh, failed };
std::string_view name_of(ResumeStatus status);

/// How a resume ended, for the log, the report and COMMAND's environment (mad-resume(1)).
struct Outcome {
  ResumeStatus status = ResumeStatus::failed;
  /// ok for resumed and fresh.  start_refused: the state directory is a mixture, and
  /// nothing must be started on it.
  ExitCode code = ExitCode::ok;
  /// The tool that failed, or that said that there is nothing.
  std::string stage;
  /// A stable identifier, and the rest of it, free of control bytes.
  std::string reason;
  std::string message;
  /// For the log, which keeps its lines; of a seal there is none.
  std::optional<Error> error;

  /// Whether the check was skipped.
  bool unverified = false;
  /// The published npz, absolute; empty where none was.
  std::string snapshot;
  /// The state directory, and how its arrays were replaced; empty where they were not.
  std::string state;
  std::string swap;
  std::string sha256;
  std::optional<std::uint64_t> size_bytes;
  std::optional<std::uint64_t> arrays;
};

Outcome failed_outcome(std::string_view stage, const Error& error);
/// Of an absent or failed seal.
Outcome outcome_of(const Seal& seal);

/// MAD_RESUME_REASON: `STAGE: REASON: MESSAGE`, one line.
std::string reason_line(const Outcome& outcome);

/// Says it on standard error, a failure as an error.
void say(const Outcome& outcome);
void describe(const Outcome& outcome, Report& report);

/// Sets MAD_RESUME_STATUS, MAD_RESUME_REASON and RESUME_FROM_URL in this process.  A
/// MAD_DEADLINE that has passed is unset: what starts now has outlived it, and its own
/// snapshots must not fail by it.
void set_environment(const Outcome& outcome);
/// The same as a file that a shell reads with `.`.
std::string format_environment(const Outcome& outcome);

}  // namespace mad
