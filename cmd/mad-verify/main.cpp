// mad-verify: check that every byte of a snapshot is the byte its manifest promises.
// Contract, output and exit codes: man/mad-verify.1.

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "base/tool.hpp"
#include "io/file.hpp"
#include "io/pipe.hpp"
#include "process/sandbox.hpp"
#include "trust_options.hpp"
#include "verify/verify_file.hpp"
#include "verify/verify_stream.hpp"

namespace {

struct Options {
  std::vector<std::string> files;
  std::string manifest, sha256, expect, max_size, spool_dir, salvage;
  mad::TrustOptions trust;
  bool stream = false, unsealed = false, skip_integrity_check = false, json = false;
  bool no_sandbox = false;
};

void declare(CLI::App& app, Options& o) {
  app.description("Verify snapshots: a bundle from standard input to standard output, or FILEs.");
  app.add_option("FILE", o.files, "Snapshots to verify: an .npz, or its manifest");
  app.add_option("--manifest", o.manifest, "Take this manifest, not the one beside the file")
      ->type_name("PATH");
  app.add_option("--sha256", o.sha256, "Trust this digest instead of the manifest's")
      ->type_name("HEX");
  app.add_option("--expect", o.expect, "Require the topology of a JSON file, .npz or state")
      ->type_name("TOPOLOGY");
  declare_trust(app, o.trust);
  app.add_option("--max-size", o.max_size, "Refuse more bytes than SIZE, packed or unpacked")
      ->type_name("SIZE");
  app.add_option("--spool-dir", o.spool_dir, "Where a stream without chunks is held back")
      ->type_name("DIR");
  app.add_flag("--stream", o.stream, "Pass bytes on at once; the seal alone vouches for them");
  app.add_flag("--unsealed", o.unsealed, "Take a pair tarred by hand, which has no seal");
  app.add_flag("--skip-integrity-check", o.skip_integrity_check, "Do without a manifest");
  app.add_flag("--no-sandbox", o.no_sandbox, "Keep every right of the process, to debug");
  app.add_option("--salvage", o.salvage, "Write what is intact of FILE to a new directory")
      ->type_name("DIR");
  app.add_flag("--json", o.json, "Print a JSON object for each FILE");
}

mad::VerifyOptions parse(const Options& o) {
  mad::VerifyOptions options;
  if (!o.manifest.empty()) options.manifest_path = o.manifest;
  if (!o.expect.empty()) options.expect_path = o.expect;
  if (!o.salvage.empty()) options.salvage_dir = o.salvage;
  options.spool_dir = o.spool_dir;
  options.stream = o.stream;
  options.unsealed = o.unsealed;
  options.skip_integrity_check = o.skip_integrity_check;
  options.json = o.json;
  if (!o.sha256.empty()) {
    options.sha256 = mad::parse_hex_digest(o.sha256);
    if (!options.sha256) mad::usage_error("--sha256: expected 64 lower-case hex digits");
  }
  if (!o.max_size.empty()) {
    options.max_bytes = mad::parse_size(o.max_size);
    if (!options.max_bytes) mad::usage_error("--max-size: expected a size such as 512M or 8G");
  }
  options.trust = parse_trust(o.trust);
  if (options.skip_integrity_check &&
      (options.trust.wants_signature() || options.trust.wants_freshness())) {
    mad::usage_error("--trusted-key, --not-before and --min-step need the integrity check");
  }
  if (options.sha256 && options.trust.wants_signature()) {
    mad::usage_error("--sha256 and --trusted-key exclude each other");
  }
  return options;
}

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

mad::ExitCode run(const Options& o, mad::Tool& tool) {
  mad::VerifyOptions options = parse(o);
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
  return mad::tool_main<Options>("mad-verify", argc, argv, declare, run, mad::describe_cage);
}
