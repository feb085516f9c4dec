#include "resume/outcome.hpp"

#include "support/catch.hpp"

using mad::Error;
using mad::ExitCode;
using mad::Outcome;
using mad::ResumeStatus;

TEST_CASE("Outcome: an absent seal is fresh, a failed one is failed with its own code") {
  mad::Seal seal;
  seal.stage = mad::Stage::absent;
  seal.tool = "mad-fetch";
  seal.reason = "no-url";
  CHECK(mad::outcome_of(seal).status == ResumeStatus::fresh);
  CHECK(mad::outcome_of(seal).code == ExitCode::ok);
  CHECK(mad::reason_line(mad::outcome_of(seal)) == "mad-fetch: no-url");

  seal = mad::failed_seal("mad-verify", {ExitCode::refused, "sha256-mismatch", "sim.npz", "no"});
  const Outcome outcome = mad::outcome_of(seal);
  CHECK(outcome.status == ResumeStatus::failed);
  CHECK(outcome.code == ExitCode::refused);
  CHECK(mad::reason_line(outcome) == "mad-verify: sha256-mismatch: sim.npz: no");
}

TEST_CASE("Outcome: the reason is one line, whatever came from outside") {
  const Error error(ExitCode::refused, "topology-mismatch", "a\nb", "first\n  second\x1b[31m");
  CHECK(mad::reason_line(mad::failed_outcome("mad-resume", error)) ==
        "mad-resume: topology-mismatch: a; b: first; second\\x1b[31m");
}

TEST_CASE("Outcome: the environment file quotes for a shell and names no path of a failure") {
  Outcome outcome;
  outcome.status = ResumeStatus::resumed;
  outcome.stage = "mad-resume";
  outcome.reason = "resumed";
  outcome.snapshot = "/tmp/it's.npz";
  CHECK(mad::format_environment(outcome) ==
        "export MAD_RESUME_STATUS='resumed'\n"
        "export MAD_RESUME_REASON='mad-resume: resumed'\n"
        "export RESUME_FROM_URL='/tmp/it'\\''s.npz'\n");
  outcome.status = ResumeStatus::failed;
  CHECK(mad::format_environment(outcome) ==
        "export MAD_RESUME_STATUS='failed'\n"
        "export MAD_RESUME_REASON='mad-resume: resumed'\n"
        "unset RESUME_FROM_URL\n");
}
