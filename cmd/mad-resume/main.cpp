// mad-resume: deliver a verified bundle as snapshot and state, then run a command in its place.
// Contract, output and exit codes: man/mad-resume.1.

#include <unistd.h>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/tool.hpp"
#include "io/pipe.hpp"
#include "options.hpp"
#include "process/exec.hpp"
#include "resume/announce.hpp"

namespace mad {
namespace {

Outcome resume_from_standard_input(const ResumeOptions& options,
                                   const std::optional<Error>& obstacle) {
  widen_pipe(STDIN_FILENO);
  FdSource bundle(STDIN_FILENO, "standard input");
  return resume(options, bundle, obstacle);
}

ExitCode run(const ResumeCommand& command, Tool& tool) {
  if (tool.has_command && tool.command.empty()) usage_error("expected a command after '--'");
  const ResumeOptions options = resume_options(command);
  refuse_terminal(STDIN_FILENO, "standard input is a terminal; expected a bundle");

  EnvironmentFile env_file(command.env_file);
  const Outcome outcome = resume_from_standard_input(options, env_file.obstacle());
  end_deadline();  // what is left is to say so, and to start the command
  say(outcome);
  describe(outcome, tool.report);
  const ExitCode written = env_file.write(outcome);
  set_environment(outcome);

  const bool resumed = outcome.status == ResumeStatus::resumed;
  const bool refused = outcome.code == ExitCode::start_refused || (command.require && !resumed);
  if (command.notify && (refused || outcome.status == ResumeStatus::failed)) {
    notify(*command.notify, static_cast<int>(command.notify_timeout_s * 1000));
  }
  const ExitCode code = outcome.code != ExitCode::ok ? outcome.code : written;
  tool.write_report(refused && code == ExitCode::ok ? ExitCode::start_refused : code);
  if (refused) {
    log_note(command.require ? "--require: nothing was resumed, so nothing is started"
                             : "nothing must be started on this state");
    return ExitCode::start_refused;
  }
  return tool.has_command ? exec_command(tool.command) : code;
}

}  // namespace
}  // namespace mad

int main(int argc, char** argv) {
  return mad::tool_main<mad::ResumeCommand, mad::AfterDashes::command>(
      "mad-resume", argc, argv, mad::declare_resume, mad::run);
}
