// What only reads: show, get, topology, recover.

#include <sys/stat.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "commands.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"
#include "manifest/manifest_text.hpp"
#include "operand.hpp"
#include "snapshot/publish.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// Where nothing stands under any name of a snapshot, or a directory does, the name is mistyped.
void require_snapshot(const std::string& npz_path) {
  for (const std::string_view suffix : {std::string_view(), k_manifest_suffix, k_next_suffix,
                                        k_signature_suffix, k_next_signature_suffix}) {
    const std::string path = npz_path + std::string(suffix);
    struct ::stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    if (suffix.empty() && !S_ISREG(status.st_mode)) open_regular(path);
    return;
  }
  throw Error(ExitCode::not_found, "snapshot-missing", printable(npz_path), "no such file");
}

}  // namespace

ExitCode show_command(const ManifestOptions& options, Tool& tool) {
  confine(options, tool, {options.file}, {});
  const ManifestText manifest = read_manifest(options.file);
  tool.report.set("path", manifest.path);
  put(options.json ? manifest.bytes : describe_manifest(manifest.bytes, printable(manifest.path)));
  if (options.json && manifest.bytes.back() != '\n') put("\n");
  return ExitCode::ok;
}

ExitCode get_command(const ManifestOptions& options, Tool& tool) {
  confine(options, tool, {options.file}, {});
  const ManifestText manifest = read_manifest(options.file);
  tool.report.set("path", manifest.path);
  const auto value = find_json(manifest.bytes, split_json_path(options.key));
  if (!value) {
    throw Error(ExitCode::not_found, "key-missing", printable(manifest.path),
                "no key '" + printable(options.key) + "'");
  }
  const bool is_string = value->front() == '"';
  put((is_string ? json_characters(*value) : indent_json(*value, 0)) + '\n');
  return ExitCode::ok;
}

ExitCode topology_command(const ManifestOptions& options, Tool& tool) {
  confine(options, tool, {options.file}, {});
  const Operand operand = read_operand(options.file);
  if (!operand.topology) {
    throw Error(ExitCode::refused, "topology-invalid", printable(options.file),
                "expected an npz, a state directory or a topology, found a manifest",
                "name the npz that the manifest stands beside");
  }
  tool.report.set("arrays", static_cast<std::uint64_t>(operand.topology->size()));
  put(options.json ? format_topology_json(*operand.topology)
                   : describe_topology(*operand.topology));
  return ExitCode::ok;
}

ExitCode recover_command(const ManifestOptions& options, Tool& tool) {
  confine(options, tool, {}, {options.file});
  PublishOptions publish;
  publish.lock_timeout_ms = static_cast<int>(options.lock_timeout_s * 1000);
  const std::string path = printable(options.file);
  require_snapshot(options.file);
  switch (recover_snapshot(options.file, publish)) {
    case Recovery::nothing:
      tool.report.set("recovery", "nothing");
      log_note(path + ": at rest; there was nothing to recover");
      break;
    case Recovery::completed:
      tool.report.set("recovery", "completed");
      log_note(path + ": completed: the npz has got the manifest that belongs to it");
      break;
    case Recovery::discarded:
      tool.report.set("recovery", "discarded");
      log_note(path + ": discarded the manifest of a snapshot that never came");
      break;
  }
  return ExitCode::ok;
}

}  // namespace mad
