#include "operand.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/text.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/state_tree.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// A topology may name a million arrays, a manifest is smaller.
constexpr std::size_t k_max_text_bytes = std::size_t{16} << 20U;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_npz(const std::string& path) {
  if (ends_with(path, ".npz")) return true;
  const Fd file = open_regular(path);
  std::array<std::byte, 2> magic{};
  read_full(file.get(), magic, printable(path));
  return as_text(magic) == "PK";
}

ManifestText manifest_of_npz(const std::string& path) {
  OpenSnapshot snapshot = open_snapshot(path, ManifestNeed::required);
  return {std::move(*snapshot.manifest), printable(snapshot.manifest_path)};
}

Topology topology_of_npz(int npz, const std::string& path) {
  const auto size_bytes = static_cast<std::uint64_t>(stat_fd(npz, printable(path)).st_size);
  return topology_of(audit_npz(npz, size_bytes, {}, printable(path)));
}

Topology topology_of_state(const std::string& path) {
  Topology topology;
  const StateTree tree(path);
  for (const StateArray& array : tree.arrays()) {
    topology[array.key] = {array.header.descr, array.header.shape};
  }
  return topology;
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
  for (const auto& [key, value] : json_members(text)) {
    is_empty = false;
    has_slash = has_slash || key.find('/') != std::string::npos;
    if (key == "schema_version" || key == "sha256") return true;
  }
  return !has_slash && !is_empty;
}

}  // namespace

ManifestText read_manifest(const std::string& path) {
  ManifestText manifest;
  if (is_npz(path)) {
    manifest = manifest_of_npz(path);
  } else {
    manifest.path = printable(path);
    manifest.bytes = read_small_file(open_regular(path).get(), k_max_manifest_bytes, manifest.path);
  }
  parse_manifest(manifest.bytes, manifest.path);
  return manifest;
}

Operand read_operand(const std::string& path) {
  Operand operand;
  struct ::stat status {};
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    operand.topology = topology_of_state(path);
  } else if (is_npz(path)) {
    OpenSnapshot snapshot = open_snapshot(path, ManifestNeed::optional);
    if (snapshot.manifest) {
      operand.manifest = {std::move(*snapshot.manifest), printable(snapshot.manifest_path)};
    }
    operand.topology = topology_of_npz(snapshot.npz.get(), path);
  } else {
    const std::string subject = printable(path);
    std::string text = read_small_file(open_regular(path).get(), k_max_text_bytes, subject);
    if (is_manifest(text)) {
      operand.manifest = {std::move(text), subject};
    } else {
      operand.topology = parse_topology_json(text, subject);
    }
  }
  if (operand.manifest) parse_manifest(operand.manifest->bytes, operand.manifest->path);
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
