// mad-verify: check that every byte of a snapshot is the byte its manifest promises.
// Contract, output and exit codes: man/mad-verify.1.

#include <unistd.h>

#include "base/text.hpp"
#include "base/tool.hpp"
#include "io/file.hpp"
#include "io/pipe.hpp"
#include "options.hpp"
#include "process/sandbox.hpp"
#include "verify/verify_file.hpp"
#include "verify/verify_stream.hpp"

namespace {

/// What is opened by its name after the first byte from outside was read.
mad::Cage cage_of(const mad::VerifyOptions& options, const std::vector<std::string>& files,
                  const mad::Tool& tool) {
  mad::Cage cage;
  for (const std::string& file : files) cage.allow_reading(mad::split_path(file).directory);
  if (!files.empty() && options.manifest_path) cage.allow_reading(*options.manifest_path);
  if (!files.empty() && options.expect_path) cage.allow_reading(*options.expect_path);
  if (options.salvage_dir)
    cage.allow_writing(mad::split_path(mad::without_last_slashes(*options.salvage_dir)).directory);
  if (!tool.report_path.empty()) cage.allow_writing(tool.report_path);
  return cage;
}

mad::ExitCode run(const mad::Options& o, mad::Tool& tool) {
  mad::VerifyOptions options = mad::parse(o);
  std::vector<std::string> files = o.files;
  files.insert(files.end(), tool.command.begin(), tool.command.end());
  if (!o.no_sandbox) {
    options.confine = [&] { mad::enter_cage(cage_of(options, files, tool)); };
  }
  if (!files.empty()) {
    if (files.size() > 1 && (options.manifest_path || options.sha256 || options.salvage_dir)) {
      mad::usage_error("--manifest, --sha256 and --salvage are for one FILE");
    }
    return verify_files(options, files, tool.report);
  }
  if (options.json || options.salvage_dir) {
    mad::usage_error(std::string(options.json ? "--json" : "--salvage") + " needs a FILE");
  }
  mad::refuse_terminal(STDIN_FILENO, "expected a bundle on standard input, found a terminal");
  mad::refuse_terminal(STDOUT_FILENO, "refusing to write a bundle to a terminal");
  mad::widen_pipe(STDIN_FILENO);
  mad::widen_pipe(STDOUT_FILENO);
  mad::FdSource source(STDIN_FILENO, "standard input");
  return verify_stream(options, source, STDOUT_FILENO, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<mad::Options>("mad-verify", argc, argv, mad::declare, run,
                                      mad::describe_cage);
}
