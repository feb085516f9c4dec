// mad-fetch: bring a snapshot here from where it is kept.
// Contract, output and exit codes: man/mad-fetch.1.
#include <CLI/CLI.hpp>

#include "../transfer_options.hpp"
#include "base/tool.hpp"
#include "exchange/fetch_command.hpp"

namespace {

using mad::FetchOptions;

void declare(CLI::App& app, FetchOptions& o) {
  app.description("Fetch a snapshot from a URL: a bundle on standard output, or files with -o");
  app.add_option("URL", o.url,
                 "A path, or a URL: file, http(s), s3, gs, az (default $RESUME_FROM_URL)");
  app.add_option("-o,--output", o.output, "Verify and publish as PATH instead of a bundle")
      ->type_name("PATH");
  app.add_flag("--latest", o.latest, "URL is a place: take its newest snapshot");
  app.add_option("--fallback", o.fallback, "Check, and go back past up to N that are not valid")
      ->type_name("N");
  app.add_flag("--if-exists", o.if_exists, "Nothing there yet is no error");
  app.add_option("--manifest-url", o.manifest_url, "Where the manifest is")->type_name("URL");
  app.add_option("--max-size", o.max_size, "Refuse an npz above SIZE (default 1T)")
      ->type_name("SIZE");
  mad::declare_parallel(app, o.parallel);
  mad::declare_transfer(app, o.transfer);
  app.add_flag("--skip-integrity-check", o.skip_integrity_check, "Go on without a manifest");
  app.add_option("--durability", o.durability, "With -o: full (default) or none")->type_name("HOW");
  app.add_option("--mode", o.mode, "With -o: the files' mode")->type_name("OCTAL");
}

mad::ExitCode run(const FetchOptions& options, mad::Tool& tool) {
  return mad::fetch_command(options, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<FetchOptions>("mad-fetch", argc, argv, declare, run);
}
