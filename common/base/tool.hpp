#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/exit_code.hpp"
#include "base/report.hpp"

namespace CLI {
class App;
}

namespace mad {

/// What the words after the first `--` are: operands, as POSIX has it (XBD 12.2,
/// guideline 10), or the command that the tool runs.
enum class AfterDashes { operands, command };

/// What a tool's run() gets besides its own options.
struct Tool {
  Report report;
  /// With AfterDashes::command, the words that the option parser never sees.
  std::vector<std::string> command;
  bool has_command = false;
  /// Where --report goes; empty without one.
  std::string report_path;
  /// Writes --report now, for a tool that is about to exec; tool_main writes it
  /// otherwise.  `code` is what the report says.
  std::function<void(ExitCode code)> write_report;
};

/// The frame of every tool's main: parses the options (CLI11's errors become
/// exit code 2), adds --help, --version, -q, -v, --log-format, --report and --deadline, gives
/// every option with a long name its MAD_<TOOL>_<OPTION> variable, installs the
/// signal handlers, sets the deadline (--deadline, $MAD_DEADLINE), runs, prints the one error,
/// writes the report, and turns what happened into the exit code, or the death by the signal that
/// ended it.  `about`, where there is one, gives a further line for `--version -v`.
using About = std::string (*)();
int run_tool(const char* name, int argc, char** argv, AfterDashes after_dashes,
             const std::function<void(CLI::App&)>& declare,
             const std::function<ExitCode(Tool&)>& run, About about);

template <class Options, AfterDashes After = AfterDashes::operands>
int tool_main(const char* name, int argc, char** argv, void (*declare)(CLI::App&, Options&),
              ExitCode (*run)(const Options&, Tool&), About about = nullptr) {
  Options options;
  return run_tool(
      name, argc, argv, After, [&](CLI::App& app) { declare(app, options); },
      [&](Tool& tool) { return run(options, tool); }, about);
}

/// A usage error found after parsing: exit code 2, nothing opened.
[[noreturn]] void usage_error(const std::string& message);

}  // namespace mad
