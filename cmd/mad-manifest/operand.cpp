#include "operand.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/text.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/read_topology.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

ManifestText manifest_of_npz(const std::string& path) {
  OpenSnapshot snapshot = open_snapshot(path, ManifestNeed::required);
  return {std::move(*snapshot.manifest), snapshot.manifest_path};
}

bool is_manifest(std::string_view text) {
  // Whatever is no topology is best answered by the manifest's parser.
  try {
    JsonCursor(text, {}).read_value(JsonDialect::python);
  } catch (const Error&) {
    return true;
  }
  JsonCursor cursor(text, {});
  if (cursor.kind() != JsonKind::object) return true;
  bool has_slash = false;
  bool is_empty = true;
  bool has_known_key = false;
  cursor.read_object(JsonDialect::python, [&](const JsonKey& key) {
    cursor.read_value(JsonDialect::python);
    is_empty = false;
    has_slash = has_slash || key.characters.find('/') != std::string::npos;
    has_known_key =
        has_known_key || key.characters == "schema_version" || key.characters == "sha256";
  });
  return has_known_key || (!has_slash && !is_empty);
}

}  // namespace

ManifestText read_manifest(const std::string& path) {
  ManifestText manifest;
  if (topology_source(path) == TopologySource::npz) {
    manifest = manifest_of_npz(path);
  } else {
    manifest.path = path;
    manifest.bytes = read_small_file(open_regular(path).get(), k_max_manifest_bytes, path);
  }
  parse_manifest(manifest.bytes, printable(manifest.path));
  return manifest;
}

Operand read_operand(const std::string& path) {
  Operand operand;
  const TopologySource source = topology_source(path);
  if (source == TopologySource::directory) {
    operand.topology = topology_of_directory(path);
  } else if (source == TopologySource::npz) {
    OpenSnapshot snapshot = open_snapshot(path, ManifestNeed::optional);
    if (snapshot.manifest) {
      operand.manifest = {std::move(*snapshot.manifest), snapshot.manifest_path};
    }
    operand.topology = topology_of_npz(snapshot.npz.get(), path);
  } else {
    const std::string subject = printable(path);
    std::string text = read_small_file(open_regular(path).get(), k_max_topology_bytes, subject);
    if (is_manifest(text)) {
      operand.manifest = {std::move(text), path};
    } else {
      operand.topology = parse_topology_json(text, subject);
    }
  }
  if (operand.manifest) {
    parse_manifest(operand.manifest->bytes, printable(operand.manifest->path));
  }
  return operand;
}

void put(std::string_view text) {
  std::string shown;
  if (isatty(STDOUT_FILENO) != 0) {
    for (const std::string_view line : split(text, '\n')) {
      shown += printable(line, line.size() * 4 + 1) + '\n';
    }
    shown.pop_back();
    text = shown;
  }
  write_full(STDOUT_FILENO, as_bytes(text), "standard output");
}

}  // namespace mad
