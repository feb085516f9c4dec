// mad-prune: remove the snapshots of a place that newer, proven ones supersede.
// Contract, output and exit codes: man/mad-prune.1.

#include <CLI/CLI.hpp>

#include "../transfer_options.hpp"
#include "base/tool.hpp"
#include "exchange/place_commands.hpp"

namespace {

using mad::PruneOptions;

void declare(CLI::App& app, PruneOptions& o) {
  app.description("Remove the older snapshots of a directory or a place in an object store");
  app.add_option("PLACE", o.place, "A directory, or a URL: file, s3, gs, az")->required();
  app.add_option("--keep", o.keep, "Keep the N newest valid ones")->type_name("N");
  app.add_option("--keep-within", o.keep_within,
                 "Keep what is at most so much older than the newest")
      ->type_name("AGE");
  app.add_option("--grace", o.grace, "Leave what dead writers left so long (default 1h)")
      ->type_name("AGE");
  app.add_flag("--dry-run", o.dry_run, "Only say what would go");
  app.add_flag("--json", o.json, "One JSON object for each that goes, on one line");
  mad::declare_transfer(app, o.transfer);
}

mad::ExitCode run(const PruneOptions& options, mad::Tool& tool) {
  return mad::prune_command(options, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<PruneOptions>("mad-prune", argc, argv, declare, run);
}
