#include "manifest/manifest_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

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

/// A line an array, in columns; of a long table its beginning.
std::string member_lines(const MemberTable& members) {
  constexpr std::size_t k_most = 100;
  constexpr std::size_t k_widest = 60;
  std::vector<std::array<std::string, 5>> rows;
  rows.push_back({"name", "dtype", "shape", "offset", "bytes"});
  for (const TableMember& member : members) {
    if (rows.size() > k_most) break;
    rows.push_back({printable(member.name, k_line_bytes), printable(member.dtype),
                    format_array_shape(member.shape) + (member.fortran_order ? " F" : ""),
                    std::to_string(member.offset),
                    std::to_string(member.size_bytes) + (member.packed_bytes ? " deflated" : "")});
  }
  std::array<std::size_t, 4> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], std::min(row[i].size(), k_widest));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    text += "    ";
    for (std::size_t i = 0; i < widths.size(); ++i) {
      text += row[i] + std::string(widths[i] - std::min(widths[i], row[i].size()) + 2, ' ');
    }
    text += row.back() + '\n';
  }
  if (rows.size() <= members.size()) {
    text += "    and " + std::to_string(members.size() + 1 - rows.size()) + " more\n";
  }
  return text;
}

/// Their names in one line, however many.
std::string other_keys(std::string_view bytes) {
  std::string others;
  JsonCursor cursor(bytes, {});
  cursor.read_object(JsonDialect::python, [&](const JsonKey& key) {
    cursor.read_value(JsonDialect::python);
    if (is_manifest_key(key.characters) || others.size() > k_line_bytes) return;
    others += (others.empty() ? "" : ", ") + printable(key.characters);
  });
  return printable(others, k_line_bytes);
}

/// A string with a replaced half of a surrogate pair is only equal to its own text.
bool same_string(std::string_view a, std::string_view b) {
  const std::string characters = json_characters(a);
  return characters.find("\xEF\xBF\xBD") == std::string::npos && characters == json_characters(b);
}

/// Of two strings' texts, by their characters.
int compare_keys(std::string_view a, std::string_view b) {
  const auto plain = [](std::string_view key) { return key.find('\\') == key.npos; };
  if (plain(a) && plain(b)) return a.substr(0, a.size() - 1).compare(b.substr(0, b.size() - 1));
  return json_characters(a).compare(json_characters(b));
}

/// The members of an object, in its order and in that of their keys: small, where it has
/// a million.
class Members {
 public:
  explicit Members(std::string_view object) : object_(object) {
    std::size_t count = 0;
    walk([&](const JsonKey&, std::string_view) { ++count; });
    entries_.reserve(count);
    walk([&](const JsonKey& key, std::string_view value) {
      entries_.push_back({slice(key.text), slice(value)});
    });
    sorted_.resize(count);
    std::iota(sorted_.begin(), sorted_.end(), 0U);
    std::sort(sorted_.begin(), sorted_.end(), [this](std::uint32_t a, std::uint32_t b) {
      const int order = compare_keys(key(a), key(b));
      return order < 0 || (order == 0 && a < b);
    });
  }

  std::size_t size() const { return entries_.size(); }
  /// As it stands there, quotes included.
  std::string_view key(std::size_t position) const { return text_at(entries_[position].key); }
  std::string_view value(std::size_t position) const { return text_at(entries_[position].value); }

  static constexpr std::uint32_t k_none = UINT32_MAX;
  /// Where a key's value stands: of a key that is there twice the last counts.
  struct Place {
    std::uint32_t here = k_none;
    std::uint32_t there = k_none;
  };
  /// For each member that is the first of its key; `here` is k_none for the others.
  std::vector<Place> places(const Members& other) const {
    std::vector<Place> places(size());
    std::size_t theirs = 0;
    for (std::size_t i = 0; i < sorted_.size();) {
      Place& place = places[sorted_[i]];
      const std::string_view wanted = key(sorted_[i]);
      while (i < sorted_.size() && compare_keys(key(sorted_[i]), wanted) == 0) {
        place.here = sorted_[i++];
      }
      for (; theirs < other.sorted_.size(); ++theirs) {
        const int order = compare_keys(other.key(other.sorted_[theirs]), wanted);
        if (order > 0) break;
        if (order == 0) place.there = other.sorted_[theirs];
      }
    }
    return places;
  }

 private:
  /// Manifests are smaller than 4 GiB by far.
  struct Slice {
    std::uint32_t at = 0;
    std::uint32_t bytes = 0;
  };
  struct Entry {
    Slice key;
    Slice value;
  };

  template <class Visit>
  void walk(Visit visit) const {
    JsonCursor cursor(object_, {});
    cursor.read_object(JsonDialect::python, [&](const JsonKey& key) {
      visit(key, cursor.read_value(JsonDialect::python));
    });
  }

  Slice slice(std::string_view part) const {
    return {static_cast<std::uint32_t>(part.data() - object_.data()),
            static_cast<std::uint32_t>(part.size())};
  }
  std::string_view text_at(Slice slice) const { return object_.substr(slice.at, slice.bytes); }

  std::string_view object_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> sorted_;
};

/// The members of a manifest's table, sorted by name.
class NamedRows {
 public:
  struct Row {
    /// A string's text, quotes included.
    std::string_view name;
    std::string_view value;
  };

  explicit NamedRows(std::string_view table) {
    JsonCursor cursor(table, {});
    cursor.read_array([&] {
      const std::string_view value = cursor.read_value(JsonDialect::strict);
      rows_.push_back({find_json(value, {"name"}).value_or("\"\""), value});
    });
    std::stable_sort(rows_.begin(), rows_.end(),
                     [](const Row& a, const Row& b) { return compare_keys(a.name, b.name) < 0; });
  }

  const std::vector<Row>& rows() const { return rows_; }
  std::optional<std::string_view> find(std::string_view name) const {
    const auto at = std::lower_bound(
        rows_.begin(), rows_.end(), name,
        [](const Row& row, std::string_view wanted) { return compare_keys(row.name, wanted) < 0; });
    if (at == rows_.end() || compare_keys(at->name, name) != 0) return std::nullopt;
    return at->value;
  }

 private:
  std::vector<Row> rows_;
};

class Comparison {
 public:
  explicit Comparison(const DifferenceVisitor& each) : each_(each) {}

  void values(std::string_view a, std::string_view b) {
    if (a == b) return;
    const JsonKind kind = json_kind(a);
    if (kind == json_kind(b)) {
      if (kind == JsonKind::object) return objects(a, b);
      if (kind == JsonKind::string && same_string(a, b)) return;
      if (kind == JsonKind::array && path_ == "chunks.digests") return digests(a, b);
      if (kind == JsonKind::array && path_ == "members") return tables(a, b);
    }
    if (!same_json_tokens(a, b)) add(a, b);
  }

 private:
  void add(std::optional<std::string_view> a, std::optional<std::string_view> b) {
    each_({std::string_view(path_).substr(0, k_path_bytes), a, b});
  }

  void objects(std::string_view a, std::string_view b) {
    const Members in_a(a);
    const Members in_b(b);
    each_place(in_a, in_b, [&](Members::Place place) {
      if (place.there != Members::k_none) {
        values(in_a.value(place.here), in_b.value(place.there));
      } else {
        add(in_a.value(place.here), std::nullopt);
      }
    });
    each_place(in_b, in_a, [&](Members::Place place) {
      if (place.there == Members::k_none) add(std::nullopt, in_b.value(place.here));
    });
  }

  template <class Action>
  void each_place(const Members& members, const Members& other, Action action) {
    const std::vector<Members::Place> places = members.places(other);
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i].here == Members::k_none) continue;
      within(members.key(i), [&] { action(places[i]); });
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
    const std::string a_line = line(in_a.size());
    const std::string b_line = line(in_b.size());
    add(a_line, b_line);
  }

  /// Arrays are compared by their name, wherever they stand.
  void tables(std::string_view a, std::string_view b) {
    const NamedRows in_a(a);
    const NamedRows in_b(b);
    for (const NamedRows::Row& row : in_a.rows()) {
      const auto other = in_b.find(row.name);
      within(row.name, [&] { other ? values(row.value, *other) : add(row.value, std::nullopt); });
    }
    for (const NamedRows::Row& row : in_b.rows()) {
      if (!in_a.find(row.name)) within(row.name, [&] { add(std::nullopt, row.value); });
    }
  }

  template <class Action>
  void within(std::string_view key, Action action) {
    const std::size_t length = path_.size();
    if (length > 0) path_ += '.';
    for (const char c : json_characters(key)) {
      if (c == '.' || c == '\\') path_ += '\\';
      path_ += c;
    }
    action();
    path_.resize(length);
  }

  const DifferenceVisitor& each_;
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
  if (manifest.members) {
    row("members", counted(manifest.members->size(), "array"));
    if (!manifest.members->empty()) text += member_lines(*manifest.members);
  }
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

void manifest_differences(std::string_view a, std::string_view b, const DifferenceVisitor& each) {
  Comparison(each).values(a, b);
}

void topology_entries_that_differ(const Topology& a, const Topology& b,
                                  const DifferenceVisitor& each) {
  auto in_a = a.begin();
  auto in_b = b.begin();
  while (in_a != a.end() || in_b != b.end()) {
    const bool only_a = in_b == b.end() || (in_a != a.end() && in_a->first < in_b->first);
    const bool only_b = in_a == a.end() || (in_b != b.end() && in_b->first < in_a->first);
    const std::string& key = only_b ? in_b->first : in_a->first;
    std::string a_text;
    std::string b_text;
    Difference difference{key, std::nullopt, std::nullopt};
    if (only_a || only_b || !(in_a->second == in_b->second)) {
      if (!only_b) difference.a = a_text = format_array_type_json(in_a->second);
      if (!only_a) difference.b = b_text = format_array_type_json(in_b->second);
    }
    if ((difference.a || difference.b) && key.compare(0, 6, "_meta/") != 0) each(difference);
    if (!only_b) ++in_a;
    if (!only_a) ++in_b;
  }
}

}  // namespace mad
