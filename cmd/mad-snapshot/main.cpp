// mad-snapshot: make a snapshot of a state, or leave the one that is there.
// Contract, output and exit codes: man/mad-snapshot.1.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "base/tool.hpp"
#include "keep.hpp"
#include "snapshot_run.hpp"

namespace mad {
namespace {

void declare(CLI::App& app, SnapshotCommand& o) {
  app.description("Make a snapshot (npz and manifest) of a state");
  app.add_option("STATE", o.state,
                 "A directory NODE/FIELD.npy, an npz, - for one on stdin, or a server's URL")
      ->required();
  app.add_option("-o,--output", o.output, "The npz to write, a directory, or - for a bundle")
      ->type_name("PATH");
  app.add_option("--extra", o.extra, "Note it in the manifest's extra (repeatable)")
      ->type_name("KEY=VALUE");
  app.add_option("--extra-file", o.extra_file, "A JSON object, the base of extra")
      ->type_name("FILE");
  app.add_option("--session-id", o.session_id, "The manifest's extra.session_id")->type_name("S");
  app.add_option("--stage", o.stage, "The manifest's extra.stage_at_snapshot")->type_name("S");
  app.add_option("--pause", o.pause,
                 "Hold this process and all below it still while its state is read (repeatable)")
      ->type_name("PID");
  app.add_option("--first", o.first, "Read and store this array before the others (repeatable)")
      ->type_name("NODE/FIELD");
  app.add_flag("--compress", o.compress, "Deflate the arrays");
  app.add_flag("--no-members", o.no_members, "Leave the table of arrays out of the manifest");
  app.add_option("--durability", o.durability, "full, or none: do not wait for the disk")
      ->check(CLI::IsMember({"full", "none"}));
  app.add_option("--mode", o.mode, "Mode of both files, in octal")->type_name("OCTAL");
  app.add_option("--lock-timeout", o.lock_timeout_s, "Wait so long for the directory's lock")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option("--keep", o.keep, "With a directory: then remove all but the N newest valid ones")
      ->type_name("N");
  app.add_option("--sign-key", o.sign_key, "Sign the manifest with this Ed25519 key")
      ->type_name("PEM");
  app.add_option("--save-dir", o.save_dir, "Where a server saves (default: beside the snapshot)")
      ->type_name("DIR");
  app.add_option("--server-timeout", o.server_timeout_s, "Wait so long for a server's answer")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0));
  app.add_flag("--leave-paused", o.leave_paused, "Do not let a server's simulation go on");
  app.add_option("--name", o.name, "Name of the npz in a bundle")->type_name("NAME");
}

ExitCode run(const SnapshotCommand& options, Tool& tool) {
  const auto start = std::chrono::steady_clock::now();
  const auto keep = parse_keep(options.keep, options.output);
  const SnapshotResult result =
      options.output == "-" ? write_bundle(options, STDOUT_FILENO) : write_snapshot(options);
  tool.report.set(options.output == "-" ? "name" : "path", result.path);
  tool.report.set("sha256", to_hex(result.taken.digests.sha256));
  tool.report.set("size_bytes", result.taken.digests.size_bytes);
  if (result.taken.step) tool.report.set_json("step", std::to_string(*result.taken.step));
  tool.report.set("arrays", result.taken.arrays);
  if (options.compress) tool.report.set("not_compressed", result.taken.arrays_not_compressed);
  tool.report.set("signed", result.is_signed);
  if (!result.runner.empty()) tool.report.set("runner", result.runner);
  tool.report.set("after_failed", result.after_failed);
  tool.report.set("seconds",
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (options.output != "-") {
    write_full(STDOUT_FILENO, as_bytes(result.path + "\n"),
               "standard output, for the name of the published " + result.path);
  }
  if (keep) keep_newest(*keep, result.path, tool.report);
  return ExitCode::ok;
}

}  // namespace
}  // namespace mad

int main(int argc, char** argv) {
  return mad::tool_main<mad::SnapshotCommand>("mad-snapshot", argc, argv, mad::declare, mad::run);
}
