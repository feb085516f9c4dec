#include "resume/outcome.hpp"

#include <cstdlib>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_message_bytes = 4000;

/// The path that COMMAND reads its snapshot from, where there is one.
const std::string& resume_url(const Outcome& outcome) {
  static const std::string none;
  return outcome.status == ResumeStatus::resumed ? outcome.snapshot : none;
}

Error error_to_say(const Outcome& outcome) {
  if (!outcome.error) return {outcome.code, outcome.reason, outcome.stage, outcome.message};
  Error error = *outcome.error;
  if (outcome.stage == tool_name()) return error;
  const std::string about = outcome.stage + (error.subject.empty() ? "" : ": " + error.subject);
  return {error.code, error.reason, about, error.message, error.hint};
}

}  // namespace

std::string_view name_of(ResumeStatus status) {
  switch (status) {
    case ResumeStatus::resumed:
      return "resumed";
    case ResumeStatus::fresh:
      return "fresh";
    default:
      return "failed";
  }
}

Outcome failed_outcome(std::string_view stage, const Error& error) {
  Outcome outcome;
  outcome.status = ResumeStatus::failed;
  outcome.code = error.code;
  outcome.stage = stage;
  outcome.reason = error.reason;
  outcome.message = printable(error.one_line(), k_max_message_bytes);
  outcome.error = error;
  return outcome;
}

Outcome outcome_of(const Seal& seal) {
  Outcome outcome;
  outcome.status = seal.stage == Stage::absent ? ResumeStatus::fresh : ResumeStatus::failed;
  outcome.code = seal.stage == Stage::absent ? ExitCode::ok : seal.code;
  outcome.stage = seal.tool;
  outcome.reason = seal.reason;
  outcome.message = printable(seal.message, k_max_message_bytes);
  return outcome;
}

std::string reason_line(const Outcome& outcome) {
  std::string line = printable(outcome.stage) + ": " + printable(outcome.reason);
  if (!outcome.message.empty()) line += ": " + outcome.message;
  return line;
}

void say(const Outcome& outcome) {
  switch (outcome.status) {
    case ResumeStatus::fresh:
      return log_note("nothing to resume: " + reason_line(outcome));
    case ResumeStatus::failed:
      return log_error(error_to_say(outcome));
    case ResumeStatus::resumed:
      if (outcome.unverified) {
        log_warning("the snapshot was not verified (--skip-integrity-check): " +
                    (outcome.snapshot.empty() ? outcome.state : outcome.snapshot));
      }
      if (!outcome.snapshot.empty())
        log_note("resumed: snapshot at " + printable(outcome.snapshot));
      if (!outcome.state.empty()) log_note("resumed: state in " + printable(outcome.state));
  }
}

void describe(const Outcome& outcome, Report& report) {
  report.set_status(name_of(outcome.status));
  report.set_reason(outcome.reason);
  report.set("stage", outcome.stage);
  report.set("message", outcome.message);
  if (!outcome.snapshot.empty()) report.set("snapshot", outcome.snapshot);
  if (!outcome.state.empty()) report.set("state", outcome.state);
  if (!outcome.swap.empty()) report.set("swap", outcome.swap);
  if (outcome.status == ResumeStatus::resumed) report.set("verified", !outcome.unverified);
  if (!outcome.sha256.empty()) report.set("sha256", outcome.sha256);
  if (outcome.size_bytes) report.set("size_bytes", *outcome.size_bytes);
  if (outcome.arrays) report.set("arrays", *outcome.arrays);
}

void set_environment(const Outcome& outcome) {
  setenv("MAD_RESUME_STATUS", std::string(name_of(outcome.status)).c_str(), 1);
  setenv("MAD_RESUME_REASON", reason_line(outcome).c_str(), 1);
  if (resume_url(outcome).empty()) {
    unsetenv("RESUME_FROM_URL");
  } else {
    setenv("RESUME_FROM_URL", resume_url(outcome).c_str(), 1);
  }
  if (outlived_deadline()) unsetenv("MAD_DEADLINE");
}

std::string format_environment(const Outcome& outcome) {
  const auto line = [](const char* name, std::string_view value) {
    return std::string("export ") + name + '=' + shell_quote(value) + '\n';
  };
  return line("MAD_RESUME_STATUS", name_of(outcome.status)) +
         line("MAD_RESUME_REASON", reason_line(outcome)) +
         (resume_url(outcome).empty() ? "unset RESUME_FROM_URL\n"
                                      : line("RESUME_FROM_URL", resume_url(outcome))) +
         (outlived_deadline() ? "unset MAD_DEADLINE\n" : "");
}

}  // namespace mad
