#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "commands.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest_text.hpp"
#include "operand.hpp"

namespace mad {
namespace {

constexpr std::size_t k_line_bytes = 2000;

/// JSON's own form where the text is JSON; what only Python writes comes as a string.
std::string json_of(const std::optional<std::string>& text) {
  if (!text) return "null";
  try {
    JsonCursor(*text, {}).read_value(JsonDialect::strict);
    return *text;
  } catch (const Error&) {
    return json_quote(*text);
  }
}

std::string json_list(const std::vector<Difference>& differences) {
  std::string text = "[";
  for (const Difference& each : differences) {
    text += text.size() > 1 ? ",\n    " : "\n    ";
    text += "{\"key\": " + json_quote(each.key) + ", \"a\": " + json_of(each.a) +
            ", \"b\": " + json_of(each.b) + "}";
  }
  return text + (differences.empty() ? "]" : "\n  ]");
}

/// `{"dtype": "<f8", "shape": [2]}` is for machines; `<f8 (2,)` for people.
std::string array_line(const Topology& topology, const std::string& key) {
  const ArrayType& type = topology.at(key);
  return format_dtype(type.dtype) + ' ' + format_array_shape(type.shape);
}

std::string line_of(char side, const std::string& key, const std::string& value) {
  return std::string(1, side) + ' ' + printable(key, k_line_bytes) + ": " +
         printable(value, k_line_bytes) + '\n';
}

std::string as_lines(const ManifestOptions& options, const std::vector<Difference>& fields,
                     const std::vector<Difference>& arrays, const Operand& a, const Operand& b) {
  std::string text = "--- " + printable(options.file, k_line_bytes) + "\n+++ " +
                     printable(options.other, k_line_bytes) + '\n';
  for (const Difference& each : fields) {
    if (each.a) text += line_of('-', each.key, *each.a);
    if (each.b) text += line_of('+', each.key, *each.b);
  }
  for (const Difference& each : arrays) {
    if (each.a) text += line_of('-', each.key, array_line(*a.topology, each.key));
    if (each.b) text += line_of('+', each.key, array_line(*b.topology, each.key));
  }
  return text;
}

}  // namespace

ExitCode diff_command(const ManifestOptions& options, Tool& tool) {
  const Operand a = read_operand(options.file);
  const Operand b = read_operand(options.other);
  const bool both_manifests = a.manifest && b.manifest;
  const bool both_topologies = a.topology && b.topology;
  if (!both_manifests && !both_topologies) {
    usage_error(printable(options.file) + " and " + printable(options.other) +
                ": expected two manifests or two states, found one of each");
  }
  if (!both_manifests) log_note("only the topologies are compared: there are no two manifests");
  if (!both_topologies) log_note("only the manifests are compared: there are no two states");
  std::vector<Difference> fields;
  std::vector<Difference> arrays;
  if (both_manifests) fields = manifest_differences(a.manifest->bytes, b.manifest->bytes);
  if (both_topologies) arrays = topology_entries_that_differ(*a.topology, *b.topology);

  const bool same = fields.empty() && arrays.empty();
  tool.report.set("same", same);
  tool.report.set("fields_differing", static_cast<std::uint64_t>(fields.size()));
  tool.report.set("arrays_differing", static_cast<std::uint64_t>(arrays.size()));
  if (options.json) {
    put("{\n  \"same\": " + std::string(same ? "true" : "false") + ",\n  \"fields\": " +
        json_list(fields) + ",\n  \"topology\": " + json_list(arrays) + "\n}\n");
  } else if (!same) {
    put(as_lines(options, fields, arrays, a, b));
  }
  if (same) return ExitCode::ok;
  tool.report.set_status("different");
  tool.report.set_reason(arrays.empty() ? "different" : "topology-mismatch");
  return arrays.empty() ? ExitCode::refused : ExitCode::topology;
}

}  // namespace mad
