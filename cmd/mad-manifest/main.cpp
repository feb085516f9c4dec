// mad-manifest: make, read and compare the manifests of snapshots.
// Contract, output and exit codes: man/mad-manifest.1.

#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "process/sandbox.hpp"

namespace mad {
namespace {

using Command = ExitCode (*)(const ManifestOptions&, Tool&);

CLI::App* add(CLI::App& app, ManifestOptions& o, const char* name, const char* what, Command run) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->footer("The options of mad-manifest itself, such as -q and --report, may stand here too.");
  sub->callback([&o, run] { o.command = run; });
  return sub;
}

void declare_write(CLI::App& app, ManifestOptions& o) {
  auto* sub = add(app, o, "write", "Make the manifest of an npz", write_command);
  sub->add_option("NPZ", o.file, "The npz")->required();
  sub->add_option("-o,--output", o.output, "The manifest to write, or - for standard output")
      ->type_name("PATH");
  sub->add_option("--extra", o.extra, "Note it in the manifest's extra (repeatable)")
      ->type_name("KEY=VALUE");
  sub->add_option("--extra-file", o.extra_file, "A JSON object, the base of extra")
      ->type_name("FILE");
  sub->add_option("--session-id", o.session_id, "The manifest's extra.session_id")->type_name("S");
  sub->add_option("--stage", o.stage, "The manifest's extra.stage_at_snapshot")->type_name("S");
  sub->add_flag("--force", o.force, "Replace a manifest that is there");
  sub->add_flag("--skip-structure-check", o.skip_structure_check,
                "Hash the file even where it is no sound npz");
  auto* upgrade = sub->add_flag("--upgrade", o.upgrade,
                                "Add what a manifest that is there lacks: chunks, members");
  for (const char* name :
       {"--extra", "--extra-file", "--session-id", "--stage", "--skip-structure-check"}) {
    upgrade->excludes(sub->get_option(name));
  }
  sub->add_option("--mode", o.mode, "Mode of the manifest, in octal")->type_name("OCTAL");
  sub->add_option("--durability", o.durability, "full, or none: do not wait for the disk")
      ->check(CLI::IsMember({"full", "none"}));
  sub->add_option("--lock-timeout", o.lock_timeout_s, "Wait so long for the directory's lock")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
}

void declare_sign(CLI::App& app, ManifestOptions& o) {
  auto* sub = add(app, o, "sign", "Sign a manifest with an Ed25519 key", sign_command);
  sub->add_option("FILE", o.file, "A manifest, or the npz that it stands beside")->required();
  sub->add_option("--key", o.key_path, "The private key, in PEM")->type_name("PEM")->required();
  sub->add_option("--durability", o.durability, "full, or none: do not wait for the disk")
      ->check(CLI::IsMember({"full", "none"}));
  sub->add_option("--lock-timeout", o.lock_timeout_s, "Wait so long for the directory's lock")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
}

void declare(CLI::App& app, ManifestOptions& o) {
  app.description("Make, read and compare the manifests of snapshots");
  app.require_subcommand(1);
  app.add_flag("--no-sandbox", o.no_sandbox, "Keep every right of the process, to debug");
  declare_write(app, o);
  declare_sign(app, o);
  const auto add_json = [&](CLI::App* sub) { sub->add_flag("--json", o.json, "Write JSON"); };
  auto* show = add(app, o, "show", "Show a manifest", show_command);
  show->add_option("FILE", o.file, "A manifest, or the npz that it stands beside")->required();
  add_json(show);
  auto* get = add(app, o, "get", "Print one value of a manifest", get_command);
  get->add_option("FILE", o.file, "A manifest, or the npz that it stands beside")->required();
  get->add_option("KEY.PATH", o.key, "Keys and positions, such as extra.commit")->required();
  auto* topology = add(app, o, "topology", "Show the arrays of a state", topology_command);
  topology->add_option("FILE|DIR", o.file, "An npz, a topology in JSON, or a state")->required();
  add_json(topology);
  auto* diff = add(app, o, "diff", "Compare two manifests, snapshots or states", diff_command);
  diff->add_option("A", o.file, "A manifest, an npz, a topology in JSON, or a state")->required();
  diff->add_option("B", o.other, "Another")->required();
  add_json(diff);
  auto* recover = add(app, o, "recover", "End what an interrupted writer began", recover_command);
  recover->add_option("NPZ", o.file, "The npz")->required();
  recover->add_option("--lock-timeout", o.lock_timeout_s, "Wait so long for the directory's lock")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
}

ExitCode run(const ManifestOptions& options, Tool& tool) {
  if (tool.has_command) usage_error("expected no '--'");
  return options.command(options, tool);
}

}  // namespace

void confine(const ManifestOptions& options, const Tool& tool,
             const std::vector<std::string>& operands, const std::vector<std::string>& outputs) {
  if (options.no_sandbox) return;
  Cage cage;
  for (const std::string& operand : operands) cage.allow_reading(operand);
  for (const std::string& output : outputs) cage.allow_writing(output);
  if (!tool.report_path.empty()) cage.allow_writing(tool.report_path);
  enter_cage(cage);
}

}  // namespace mad

int main(int argc, char** argv) {
  return mad::tool_main<mad::ManifestOptions>("mad-manifest", argc, argv, mad::declare, mad::run,
                                              mad::describe_cage);
}
