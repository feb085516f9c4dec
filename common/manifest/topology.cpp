#include "manifest/topology.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "manifest/json_text.hpp"

namespace mad {
namespace {

std::string_view node_of(std::string_view key) {
  return key.substr(0, key.find('/'));
}

std::set<std::string_view> nodes_of(const Topology& topology) {
  std::set<std::string_view> nodes;
  for (const auto& [key, type] : topology) nodes.insert(node_of(key));
  nodes.erase("_meta");
  return nodes;
}

std::string quoted(std::string_view name) {
  return "'" + printable(name, 1100) + "'";
}

/// In `topology` and not in `other`: whole nodes as such, then fields of shared nodes.
void list_absent(const Topology& topology, const Topology& other, const char* what,
                 std::vector<std::string>& lines) {
  const auto other_nodes = nodes_of(other);
  for (const std::string_view node : nodes_of(topology)) {
    if (other_nodes.count(node) == 0) lines.push_back("node " + quoted(node) + what);
  }
  for (const auto& [key, type] : topology) {
    if (other_nodes.count(node_of(key)) != 0 && other.count(key) == 0) {
      lines.push_back("field " + quoted(key) + what);
    }
  }
}

}  // namespace

std::string format_dtype(const std::string& descr) {
  const bool plain = descr.size() >= 2 && descr.front() == '\'' && descr.back() == '\'';
  return plain ? descr.substr(1, descr.size() - 2) : descr;
}

std::string format_array_shape(const std::vector<std::uint64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::vector<std::string> topology_differences(const Topology& expected, const Topology& found) {
  std::vector<std::string> lines;
  list_absent(expected, found, " is missing", lines);
  list_absent(found, expected, " is unexpected", lines);
  for (const auto& [key, type] : expected) {
    const auto other = found.find(key);
    if (other == found.end() || node_of(key) == "_meta") continue;
    const std::string field = "field " + quoted(key) + ": ";
    const auto differ = [&](const char* what, const std::string& a, const std::string& b) {
      lines.push_back(field + what + " expected " + printable(a) + ", found " + printable(b));
    };
    if (type.dtype != other->second.dtype) differ("dtype", type.dtype, other->second.dtype);
    if (type.shape != other->second.shape) {
      differ("shape", format_array_shape(type.shape), format_array_shape(other->second.shape));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

void require_same_topology(const Topology& expected, const Topology& found,
                           const std::string& subject) {
  const auto lines = topology_differences(expected, found);
  if (lines.empty()) return;
  std::string message = "the topology differs from the expected one";
  for (const std::string& line : lines) message += "\n" + line;
  throw Error(ExitCode::topology, "topology-mismatch", subject, message);
}

std::string format_array_type_json(const ArrayType& type) {
  std::string text = "{\"dtype\": " + json_quote(format_dtype(type.dtype)) + ", \"shape\": [";
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(type.shape[i]);
  }
  return text + "]}";
}

std::string format_topology_json(const Topology& topology) {
  std::string text = "{";
  for (const auto& [key, type] : topology) {
    text += text.size() > 1 ? ",\n  " : "\n  ";
    text += json_quote(key) + ": " + format_array_type_json(type);
  }
  return text + (topology.empty() ? "}\n" : "\n}\n");
}

Topology parse_topology_json(std::string_view bytes, const std::string& subject) {
  constexpr auto k_strict = JsonDialect::strict;
  JsonCursor cursor(bytes, {subject, "topology-invalid"});
  Topology topology;
  cursor.read_object(k_strict, [&](const JsonKey& key) {
    const std::string name = quoted(key.characters);
    const auto slash = key.characters.find('/');
    if (slash == 0 || slash == std::string::npos || slash + 1 == key.characters.size()) {
      cursor.fail("expected a key NODE/FIELD, found " + name);
    }
    ArrayType type;
    bool has_shape = false;
    cursor.read_object(k_strict, [&](const JsonKey& part) {
      if (part.characters == "dtype") {
        const std::string dtype = cursor.read_string(k_strict);
        const bool plain =
            !dtype.empty() && std::string_view("[({").find(dtype[0]) == std::string_view::npos;
        type.dtype = plain ? "'" + dtype + "'" : dtype;
      } else if (part.characters == "shape") {
        has_shape = true;
        cursor.read_array([&] {
          const std::string_view text = cursor.read_value(k_strict);
          const auto extent = json_integer(text);
          if (!extent || *extent < 0) {
            cursor.fail(name + ": shape: expected lengths, found " + printable(text, 80));
          }
          type.shape.push_back(static_cast<std::uint64_t>(*extent));
        });
      } else {
        cursor.read_value(k_strict);
      }
    });
    if (type.dtype.empty()) cursor.fail(name + ": expected a dtype, found none");
    if (!has_shape) cursor.fail(name + ": expected a shape, found none");
    topology.emplace(key.characters, std::move(type));
  });
  cursor.expect_end();
  return topology;
}

}  // namespace mad
