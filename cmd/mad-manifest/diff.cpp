#include <functional>

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

/// Standard output a piece at a time, because the whole may be many times what is compared.
class Output {
 public:
  void add(std::string_view text) {
    constexpr std::size_t k_piece_bytes = std::size_t{64} << 10U;
    text_ += text;
    if (text_.size() >= k_piece_bytes) flush();
  }
  void flush() {
    put(text_);
    text_.clear();
  }

 private:
  std::string text_;
};

/// What `compare` visits, as often as it is asked.
using Comparing = std::function<void(const DifferenceVisitor&)>;

std::uint64_t count(const Comparing& compare) {
  std::uint64_t found = 0;
  compare([&](const Difference&) { ++found; });
  return found;
}

/// JSON's own form where the text is JSON; what only Python writes comes as a string.
std::string json_of(const std::optional<std::string_view>& text) {
  if (!text) return "null";
  std::string line = compact_json(*text);
  try {
    JsonCursor(line, {}).read_value(JsonDialect::strict);
    return line;
  } catch (const Error&) {
    return json_quote(line);
  }
}

void write_json_list(Output& output, const Comparing& compare) {
  bool empty = true;
  compare([&](const Difference& each) {
    output.add(empty ? "[\n    " : ",\n    ");
    output.add("{\"key\": " + json_quote(each.key) + ", \"a\": ");
    output.add(json_of(each.a));
    output.add(", \"b\": ");
    output.add(json_of(each.b));
    output.add("}");
    empty = false;
  });
  output.add(empty ? "[]" : "\n  ]");
}

/// `{"dtype": "<f8", "shape": [2]}` is for machines; `<f8 (2,)` for people.
std::string array_line(const Topology& topology, std::string_view key) {
  const ArrayType& type = topology.at(std::string(key));
  return format_dtype(type.dtype) + ' ' + format_array_shape(type.shape);
}

std::string line_of(char side, std::string_view key, std::string_view value) {
  return std::string(1, side) + ' ' + printable(key, k_line_bytes) + ": " +
         printable(value, k_line_bytes) + '\n';
}

}  // namespace

ExitCode diff_command(const ManifestOptions& options, Tool& tool) {
  confine(options, tool, {options.file, options.other}, {});
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
  const Comparing fields = [&](const DifferenceVisitor& each) {
    if (both_manifests) manifest_differences(a.manifest->bytes, b.manifest->bytes, each);
  };
  const Comparing arrays = [&](const DifferenceVisitor& each) {
    if (both_topologies) topology_entries_that_differ(*a.topology, *b.topology, each);
  };
  const std::uint64_t fields_differing = count(fields);
  const std::uint64_t arrays_differing = count(arrays);
  const bool same = fields_differing == 0 && arrays_differing == 0;
  tool.report.set("same", same);
  tool.report.set("fields_differing", fields_differing);
  tool.report.set("arrays_differing", arrays_differing);
  Output output;
  if (options.json) {
    output.add("{\n  \"same\": " + std::string(same ? "true" : "false") + ",\n  \"fields\": ");
    write_json_list(output, fields);
    output.add(",\n  \"topology\": ");
    write_json_list(output, arrays);
    output.add("\n}\n");
  } else if (!same) {
    output.add("--- " + printable(options.file, k_line_bytes) + "\n+++ " +
               printable(options.other, k_line_bytes) + '\n');
    fields([&](const Difference& each) {
      if (each.a) output.add(line_of('-', each.key, compact_json(*each.a)));
      if (each.b) output.add(line_of('+', each.key, compact_json(*each.b)));
    });
    arrays([&](const Difference& each) {
      if (each.a) output.add(line_of('-', each.key, array_line(*a.topology, each.key)));
      if (each.b) output.add(line_of('+', each.key, array_line(*b.topology, each.key)));
    });
  }
  output.flush();
  if (same) return ExitCode::ok;
  tool.report.set_status("different");
  tool.report.set_reason(arrays_differing == 0 ? "different" : "topology-mismatch");
  return arrays_differing == 0 ? ExitCode::refused : ExitCode::topology;
}

}  // namespace mad
