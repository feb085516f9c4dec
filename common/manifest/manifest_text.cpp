#include "manifest/manifest_text.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/error.hpp"
#include "base/text.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"

namespace mad {
namespace {

constexpr std::size_t k_line_bytes = 2000;
constexpr std::size_t k_path_bytes = 300;

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

bool is_known(const std::string& key) {
  constexpr std::array<std::string_view, 7> k_keys = {
      "schema_version", "sha256", "size_bytes", "extra", "created_at", "step", "chunks"};
  return std::find(k_keys.begin(), k_keys.end(), key) != k_keys.end();
}

std::string chunks_line(const Manifest& manifest, std::string_view bytes) {
  if (manifest.chunks) {
    return counted(manifest.chunks->digests.size(), "digest") + " of " +
           format_size(manifest.chunks->chunk_bytes) + " each";
  }
  if (const auto algorithm = find_json(bytes, {"chunks", "algorithm"})) {
    return "by " + printable(*algorithm, 80) + ", which this reader does not know";
  }
  return {};
}

/// Their names in one line, however many.
std::string other_keys(std::string_view bytes) {
  std::string others;
  JsonCursor cursor(bytes, {});
  cursor.read_object(JsonDialect::python, [&](const JsonKey& key) {
    cursor.read_value(JsonDialect::python);
    if (is_known(key.characters) || others.size() > k_line_bytes) return;
    others += (others.empty() ? "" : ", ") + printable(key.characters);
  });
  return printable(others, k_line_bytes);
}

/// A string with a replaced half of a surrogate pair is only equal to its own text.
bool same_string(std::string_view a, std::string_view b) {
  const std::string characters = json_characters(a);
  return characters.find("\xEF\xBF\xBD") == std::string::npos && characters == json_characters(b);
}

class Comparison {
 public:
  explicit Comparison(std::vector<Difference>& differences) : differences_(differences) {}

  void values(std::string_view a, std::string_view b) {
    if (a == b) return;
    const JsonKind kind = json_kind(a);
    if (kind == json_kind(b)) {
      if (kind == JsonKind::object) return objects(a, b);
      if (kind == JsonKind::string && same_string(a, b)) return;
      if (kind == JsonKind::array && path_ == "chunks.digests") return digests(a, b);
    }
    std::string a_line = compact_json(a);
    std::string b_line = compact_json(b);
    if (a_line != b_line) add(std::move(a_line), std::move(b_line));
  }

 private:
  void add(std::optional<std::string> a, std::optional<std::string> b) {
    // Cut, or a long key over many others would fill the memory.
    differences_.push_back({path_.substr(0, k_path_bytes), std::move(a), std::move(b)});
  }

  void objects(std::string_view a, std::string_view b) {
    const JsonMembers in_a = json_members(a);
    const JsonMembers in_b = json_members(b);
    // Of a key that is there twice the last counts.
    std::map<std::string_view, std::string_view> from_a;
    std::map<std::string_view, std::string_view> from_b;
    for (const auto& [key, value] : in_a) from_a[key] = value;
    for (const auto& [key, value] : in_b) from_b[key] = value;
    for (const auto& [key, ignored] : in_a) {
      const auto mine = from_a.find(key);
      if (mine == from_a.end()) continue;  // compared at its first occurrence
      const auto other = from_b.find(key);
      within(key, [&] {
        if (other == from_b.end()) {
          add(compact_json(mine->second), std::nullopt);
        } else {
          values(mine->second, other->second);
        }
      });
      from_a.erase(mine);
      if (other != from_b.end()) from_b.erase(other);
    }
    for (const auto& [key, ignored] : in_b) {
      const auto mine = from_b.find(key);
      if (mine == from_b.end()) continue;
      within(key, [&] { add(std::nullopt, compact_json(mine->second)); });
      from_b.erase(mine);
    }
  }

  void digests(std::string_view a, std::string_view b) {
    const auto list = [](std::string_view text) {
      std::vector<std::string_view> digests;
      JsonCursor cursor(text, {});
      cursor.read_array([&] { digests.push_back(cursor.read_value(JsonDialect::strict)); });
      return digests;
    };
    const auto in_a = list(a);
    const auto in_b = list(b);
    const std::size_t both = std::min(in_a.size(), in_b.size());
    std::size_t differing = std::max(in_a.size(), in_b.size()) - both;
    std::optional<std::size_t> first;
    for (std::size_t i = 0; i < both; ++i) {
      if (in_a[i] == in_b[i]) continue;
      ++differing;
      if (!first) first = i;
    }
    if (differing == 0) return;
    const auto line = [&](std::size_t count) {
      return json_quote(counted(count, "digest") + ", " + std::to_string(differing) +
                        " differ, the first is number " + std::to_string(first.value_or(both)));
    };
    add(line(in_a.size()), line(in_b.size()));
  }

  template <class Action>
  void within(const std::string& key, Action action) {
    const std::size_t length = path_.size();
    if (length > 0) path_ += '.';
    for (const char c : key) {
      if (c == '.' || c == '\\') path_ += '\\';
      path_ += c;
    }
    action();
    path_.resize(length);
  }

  std::vector<Difference>& differences_;
  std::string path_;
};

}  // namespace

std::string describe_manifest(std::string_view bytes, const std::string& subject) {
  const Manifest manifest = parse_manifest(bytes, subject);
  std::string text = printable(subject, k_line_bytes) + '\n';
  const auto row = [&](std::string_view name, const std::string& value) {
    text.append("  ").append(name).append(16 - name.size(), ' ').append(value).append("\n");
  };
  row("schema version", std::to_string(manifest.schema_version));
  row("SHA-256", to_hex(manifest.sha256));
  if (!manifest.size_bytes) {
    row("size", "not said");
  } else if (*manifest.size_bytes < 1024) {
    row("size", counted(*manifest.size_bytes, "byte"));
  } else {
    row("size",
        counted(*manifest.size_bytes, "byte") + " (" + format_size(*manifest.size_bytes) + ")");
  }
  if (manifest.created_at) row("created at", printable(*manifest.created_at));
  if (manifest.step) row("step", std::to_string(*manifest.step));
  if (const std::string line = chunks_line(manifest, bytes); !line.empty()) row("chunks", line);
  if (const std::string others = other_keys(bytes); !others.empty()) row("other keys", others);
  text += "  extra           ";
  const std::string extra = indent_json(manifest.extra, 1);
  for (std::string_view rest = extra; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    text += printable(line, k_line_bytes) + '\n';
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return text;
}

std::string describe_topology(const Topology& topology) {
  struct Row {
    std::string key, dtype, shape;
  };
  std::vector<Row> rows;
  std::size_t key_width = 0;
  std::size_t dtype_width = 0;
  constexpr std::size_t k_widest = 60;
  for (const auto& [key, type] : topology) {
    rows.push_back({printable(key, k_line_bytes), printable(format_dtype(type.dtype), k_line_bytes),
                    format_array_shape(type.shape)});
    key_width = std::max(key_width, std::min(rows.back().key.size(), k_widest));
    dtype_width = std::max(dtype_width, std::min(rows.back().dtype.size(), k_widest));
  }
  std::string text;
  const auto column = [&](const std::string& value, std::size_t width) {
    text += value;
    text.append(width > value.size() ? width - value.size() : 0, ' ').append("  ");
  };
  for (const Row& row : rows) {
    column(row.key, key_width);
    column(row.dtype, dtype_width);
    text += row.shape + '\n';
  }
  return text;
}

std::vector<Difference> manifest_differences(std::string_view a, std::string_view b) {
  std::vector<Difference> differences;
  Comparison(differences).values(a, b);
  return differences;
}

std::vector<Difference> topology_entries_that_differ(const Topology& a, const Topology& b) {
  std::map<std::string_view, std::pair<const ArrayType*, const ArrayType*>> arrays;
  for (const auto& [key, type] : a) arrays[key].first = &type;
  for (const auto& [key, type] : b) arrays[key].second = &type;
  const auto text = [](const ArrayType* type) -> std::optional<std::string> {
    if (type == nullptr) return std::nullopt;
    return format_array_type_json(*type);
  };
  std::vector<Difference> differences;
  for (const auto& [key, types] : arrays) {
    if (key.substr(0, 6) == "_meta/") continue;
    const auto& [in_a, in_b] = types;
    if (in_a != nullptr && in_b != nullptr && *in_a == *in_b) continue;
    differences.push_back({std::string(key), text(in_a), text(in_b)});
  }
  return differences;
}

}  // namespace mad
