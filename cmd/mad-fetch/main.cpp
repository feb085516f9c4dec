#include <CLI/CLI.hpp>

// mad-fetch: bring a snapshot here from where it is kept.
// Contract, output and exit codes: man/mad-fetch.1.
#include "base/tool.hpp"
#include "exchange/fetch_command.hpp"

namespace {

using mad::FetchOptions;

void declare(CLI::App& app, FetchOptions& o) {
  app.description("Fetch a snapshot from a URL: a bundle on standard output, or files with -o");
  app.add_option("URL", o.url, "A path, file://, http(s):// or s3:// (default $RESUME_FROM_URL)");
  app.add_option("-o,--output", o.output, "Verify and publish as PATH instead of a bundle")
      ->type_name("PATH");
  app.add_flag("--if-exists", o.if_exists, "Nothing there yet is no error");
  app.add_option("--manifest-url", o.manifest_url, "Where the manifest is")->type_name("URL");
  app.add_option("-H,--header", o.headers, "Send 'Name: value', or the lines of @FILE")
      ->type_name("HEADER");
  app.add_flag("--netrc", o.netrc, "Take user and password from ~/.netrc");
  app.add_option("--cacert", o.cacert, "Trust the CAs in FILE (PEM) instead of the system's")
      ->type_name("FILE");
  app.add_option("--endpoint-url", o.endpoint_url, "An object store other than the cloud's own")
      ->type_name("URL");
  app.add_option("--region", o.region, "Of the bucket (default: as the AWS tools find it)")
      ->type_name("NAME");
  app.add_flag("--no-sign-request", o.no_sign_request, "Use no credentials: a public bucket");
  app.add_option("--max-size", o.max_size, "Refuse an npz above SIZE (default 1T)")
      ->type_name("SIZE");
  app.add_option("--connect-timeout", o.connect_timeout_s, "Time to connect (default 15)")
      ->type_name("SECONDS");
  app.add_option("--stall-timeout", o.stall_timeout_s, "Longest time without a byte (default 30)")
      ->type_name("SECONDS");
  app.add_option("--retries", o.retries, "Attempts after the first without progress (default 6)")
      ->type_name("N");
  app.add_option("--retry-budget", o.retry_budget_s, "Time for them all (default 180)")
      ->type_name("SECONDS");
  app.add_option("--retry-delay", o.retry_delay_s, "Bound of the first wait (default 0.5)")
      ->type_name("SECONDS");
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
