// mad-list: what snapshots a place holds.
// Contract, output and exit codes: man/mad-list.1.

#include <CLI/CLI.hpp>

#include "../transfer_options.hpp"
#include "base/tool.hpp"
#include "exchange/place_commands.hpp"

namespace {

using mad::ListOptions;

void declare(CLI::App& app, ListOptions& o) {
  app.description("List the snapshots of a directory or a place in an object store");
  app.add_option("PLACE", o.place, "A directory, or a URL: file, s3, gs, az")->required();
  app.add_flag("--json", o.json, "One JSON object a snapshot, on one line");
  app.add_flag("--check", o.check, "Read each whole, and say whether it is valid");
  mad::declare_transfer(app, o.transfer);
}

mad::ExitCode run(const ListOptions& options, mad::Tool& tool) {
  return mad::list_command(options, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<ListOptions>("mad-list", argc, argv, declare, run);
}
