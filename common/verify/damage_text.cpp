#include "verify/damage_text.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::array<ArrayState, 4> k_states = {ArrayState::proven, ArrayState::consistent,
                                                ArrayState::damaged, ArrayState::lost};
/// The width of a check's name in a verdict, and of its result.
constexpr std::size_t k_margin = 18;
constexpr std::size_t k_damage_width = 11;

bool is_intact(const ExaminedArray& array) {
  return array.state == ArrayState::proven || array.state == ArrayState::consistent;
}

std::string names_text(const DamageFinding& finding) {
  constexpr std::size_t k_shown = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(k_shown, finding.arrays.size()); ++i) {
    text += (i > 0 ? ", " : "") + printable(finding.arrays[i]);
  }
  const std::uint64_t all = finding.arrays.size() + finding.more_arrays;
  if (all > k_shown) text += " and " + std::to_string(all - k_shown) + " more";
  return text;
}

std::string finding_text(const DamageFinding& finding) {
  std::string text = finding.text;
  const bool has_range = finding.bytes.first < finding.bytes.end;
  if (finding.kind == "array" || finding.kind == "record") {
    text = printable(finding.arrays.front()) + ": " + text;
  }
  if (has_range &&
      text.find("bytes " + std::to_string(finding.bytes.first) + " to ") == std::string::npos) {
    text += " (bytes " + std::to_string(finding.bytes.first) + " to " +
            std::to_string(finding.bytes.end) + ")";
  }
  if (!finding.arrays.empty() && finding.kind != "array" && finding.kind != "record") {
    text += "; in " + names_text(finding);
  }
  return printable(text, 4096);
}

/// A label before the first line only.
class Lines {
 public:
  explicit Lines(const std::string& label)
      : head_("  " + label + std::string(k_damage_width - label.size(), ' ') + "     ") {}

  void add(const std::string& line) {
    text_ += head_ + line + "\n";
    head_.assign(k_margin, ' ');
  }
  std::string take() { return std::move(text_); }

 private:
  std::string head_;
  std::string text_;
};

std::string list(const std::vector<std::string>& names) {
  std::string text = "[";
  for (const std::string& name : names) {
    text += (text.size() > 1 ? "," : "") + json_quote(name);
  }
  return text + "]";
}

std::string format_finding_json(const DamageFinding& finding) {
  std::string text = "{\"kind\":" + json_quote(finding.kind);
  if (finding.bytes.first < finding.bytes.end) {
    text += ",\"offset\":" + std::to_string(finding.bytes.first) +
            ",\"length\":" + std::to_string(finding.bytes.end - finding.bytes.first);
  }
  text += ",\"arrays\":" + list(finding.arrays) +
          ",\"more_arrays\":" + std::to_string(finding.more_arrays);
  return text + ",\"text\":" + json_quote(finding.text) + "}";
}

}  // namespace

std::string format_damage(const Damage& damage) {
  constexpr std::size_t k_shown = 20;
  Lines findings("damage");
  for (std::size_t i = 0; i < std::min(k_shown, damage.findings.size()); ++i) {
    findings.add(finding_text(damage.findings[i]));
  }
  const std::uint64_t all = damage.findings.size() + damage.more_findings;
  if (all > k_shown) findings.add("and " + std::to_string(all - k_shown) + " more");

  Lines arrays("arrays");
  std::string counts;
  for (const ArrayState state : k_states) {
    counts += (counts.empty() ? "" : ", ") + std::to_string(damage.count(state)) + " " +
              std::string(name_of(state));
  }
  if (damage.more_arrays > 0) {
    counts += ", " + std::to_string(damage.more_arrays) + " not examined";
  }
  arrays.add(counts);
  std::size_t shown = 0;
  std::size_t left = 0;
  for (const ExaminedArray& array : damage.arrays) {
    if (is_intact(array)) continue;
    if (shown == k_shown) {
      ++left;
      continue;
    }
    ++shown;
    arrays.add(std::string(name_of(array.state)) + ": " + printable(array.name) + ": " +
               printable(array.detail));
  }
  if (left > 0) arrays.add("and " + std::to_string(left) + " more");
  return findings.take() + arrays.take();
}

std::string format_array_json(const ExaminedArray& array, const std::string& more) {
  std::string text = "{\"name\":" + json_quote(array.name) +
                     ",\"status\":" + json_quote(name_of(array.state)) +
                     ",\"offset\":" + std::to_string(array.bytes.first) +
                     ",\"length\":" + std::to_string(array.bytes.end - array.bytes.first);
  if (!array.detail.empty()) text += ",\"text\":" + json_quote(array.detail);
  return text + more + "}";
}

std::string format_counts_json(const Damage& damage) {
  std::string text = "{";
  for (const ArrayState state : k_states) {
    text += (text.size() > 1 ? ",\"" : "\"") + std::string(name_of(state)) +
            "\":" + std::to_string(damage.count(state));
  }
  return text + "}";
}

std::string format_damage_json(const Damage& damage) {
  // Of very many arrays those are named of which something is wrong.
  constexpr std::size_t k_most_arrays = 4096;
  std::string text =
      "{\"arrays_from\":" + json_quote(name_of(damage.arrays_from)) + ",\"findings\":[";
  const char* separator = "";
  for (const DamageFinding& finding : damage.findings) {
    text += separator + format_finding_json(finding);
    separator = ",";
  }
  text += "],\"more_findings\":" + std::to_string(damage.more_findings) +
          ",\"counts\":" + format_counts_json(damage) + ",\"arrays\":[";
  const bool name_all = damage.arrays.size() <= k_most_arrays;
  std::size_t named = 0;
  for (const ExaminedArray& array : damage.arrays) {
    if ((!name_all && is_intact(array)) || named == k_most_arrays) continue;
    text += (named++ > 0 ? "," : "") + format_array_json(array, "");
  }
  return text +
         "],\"more_arrays\":" + std::to_string(damage.arrays.size() - named + damage.more_arrays) +
         "}";
}

}  // namespace mad
