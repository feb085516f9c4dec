// mad-push: bring a snapshot to where it is kept.
// Contract, output and exit codes: man/mad-push.1.

#include <CLI/CLI.hpp>

#include "../transfer_options.hpp"
#include "base/tool.hpp"
#include "exchange/push_command.hpp"

namespace {

using mad::PushOptions;

void declare(CLI::App& app, PushOptions& o) {
  app.description("Push a snapshot to an object store or a web server.");
  app.add_option("SNAPSHOT", o.snapshot, "An .npz with its manifest beside it, or - for a bundle")
      ->required();
  app.add_option("URL", o.url, "Where to (default: $MAD_PUSH_URL); DIR/ keeps the name");
  app.add_option("--manifest-url", o.manifest_url, "Where to put the manifest, if not beside it")
      ->type_name("URL");
  app.add_flag("--if-absent", o.if_absent, "Refuse to replace a snapshot");
  app.add_flag("--verify", o.verify, "Read back what was written");
  mad::declare_parallel(app, o.parallel);
  mad::declare_transfer(app, o.transfer);
}

mad::ExitCode run(const PushOptions& options, mad::Tool& tool) {
  return mad::push_command(options, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<PushOptions>("mad-push", argc, argv, declare, run);
}
