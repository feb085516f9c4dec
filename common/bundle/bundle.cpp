#include "bundle/bundle.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "hash/sha256.hpp"

namespace mad {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<Stage, std::string_view>, 6> k_stages = {
    {{Stage::created, "created"},
     {Stage::fetched, "fetched"},
     {Stage::verified, "verified"},
     {Stage::unverified, "unverified"},
     {Stage::absent, "absent"},
     {Stage::failed, "failed"}}};

constexpr std::string_view k_npz_suffix = ".npz";
constexpr std::size_t k_max_name_bytes = 200;
constexpr std::size_t k_max_message_bytes = 4000;
constexpr std::size_t k_max_id_bytes = 64;

/// The fields of an untrusted seal, each held against what mad-bundle(5) says of it.
class SealFields {
 public:
  SealFields(std::string_view bytes, const std::string& subject) : subject_(subject) {
    fields_ = json::parse(bytes, nullptr, false);
    if (!fields_.is_object()) throw defect("expected a JSON object");
  }

  Error defect(const std::string& what) const {
    return {ExitCode::refused, "bundle-invalid", subject_,
            std::string(k_seal_member) + ": " + what};
  }

  std::string text(const char* key, std::size_t max_bytes) const {
    const auto found = fields_.find(key);
    if (found == fields_.end() || !found->is_string()) {
      throw defect(std::string("expected a string as '") + key + "'");
    }
    return printable(found->get_ref<const std::string&>(), max_bytes);
  }

  std::uint64_t number(const char* key) const {
    const auto found = fields_.find(key);
    if (found == fields_.end() || !found->is_number_unsigned()) {
      throw defect(std::string("expected a whole number as '") + key + "'");
    }
    return found->get<std::uint64_t>();
  }

  std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> values;
    const auto found = fields_.find(key);
    if (found == fields_.end()) return values;
    const bool fits = found->is_array() && found->size() <= 64 &&
                      std::all_of(found->begin(), found->end(),
                                  [](const json& value) { return value.is_string(); });
    if (!fits) throw defect(std::string("expected a list of strings as '") + key + "'");
    for (const json& value : *found) {
      values.push_back(printable(value.get_ref<const std::string&>(), k_max_id_bytes));
    }
    return values;
  }

 private:
  const std::string& subject_;
  json fields_;
};

Stage parse_stage(const SealFields& fields) {
  const std::string text = fields.text("stage", k_max_id_bytes);
  for (const auto& [stage, name] : k_stages) {
    if (text == name) return stage;
  }
  throw fields.defect("unknown stage '" + text + "'");
}

}  // namespace

std::string_view name_of(Stage stage) {
  return std::find_if(k_stages.begin(), k_stages.end(),
                      [&](const auto& pair) { return pair.first == stage; })
      ->second;
}

bool has_npz(Stage stage) {
  return stage != Stage::absent && stage != Stage::failed;
}

Seal failed_seal(std::string_view tool, const Error& error) {
  Seal seal;
  seal.stage = Stage::failed;
  seal.tool = tool;
  seal.code = error.code;
  seal.reason = error.reason;
  seal.message = error.one_line();
  return seal;
}

Error error_of(const Seal& seal) {
  return {seal.code, seal.reason, seal.tool, seal.message};
}

std::string format_seal(const Seal& seal) {
  std::string text = "{\"stage\":" + json_quote(name_of(seal.stage));
  const auto add = [&](const char* key, const std::string& value) {
    text += std::string(",\"") + key + "\":" + value;
  };
  add("tool", json_quote(seal.tool));
  if (has_npz(seal.stage)) {
    if (seal.size_bytes) add("size_bytes", std::to_string(*seal.size_bytes));
    if (!seal.sha256.empty()) add("sha256", json_quote(seal.sha256));
    if (seal.stage == Stage::verified || !seal.checked.empty()) {
      std::string list;
      for (const std::string& check : seal.checked) {
        list += (list.empty() ? "" : ",") + json_quote(check);
      }
      add("checked", "[" + list + "]");
    }
  } else {
    if (seal.stage == Stage::failed) add("code", std::to_string(static_cast<int>(seal.code)));
    add("reason", json_quote(seal.reason));
    add("message", json_quote(printable(seal.message, k_max_message_bytes)));
  }
  return text + "}\n";
}

Seal parse_seal(std::string_view bytes, const std::string& subject) {
  const SealFields fields(bytes, subject);
  Seal seal;
  seal.stage = parse_stage(fields);
  seal.tool = fields.text("tool", k_max_id_bytes);
  if (has_npz(seal.stage)) {
    seal.size_bytes = fields.number("size_bytes");
    seal.checked = fields.texts("checked");
  } else {
    seal.reason = fields.text("reason", k_max_id_bytes);
    seal.message = fields.text("message", k_max_message_bytes);
    // The error that is made of them is to say who failed, and why.
    if (seal.tool.empty() || seal.reason.empty()) {
      throw fields.defect("expected a 'tool' and a 'reason', found '" + seal.tool + "' and '" +
                          seal.reason + "'");
    }
  }
  if (seal.stage == Stage::verified) {
    seal.sha256 = fields.text("sha256", k_max_id_bytes);
    if (!parse_hex_digest(seal.sha256)) {
      throw fields.defect("expected 64 lower-case hex digits as 'sha256', found '" + seal.sha256 +
                          "'");
    }
  }
  if (seal.stage == Stage::failed) {
    const std::uint64_t code = fields.number("code");
    if (code < 1 || code > 125) {
      throw fields.defect("expected a 'code' from 1 to 125, found " + std::to_string(code));
    }
    seal.code = static_cast<ExitCode>(code);
  }
  return seal;
}

std::string bundle_name(std::string_view from) {
  const auto slash = from.rfind('/');
  if (slash != std::string_view::npos) from.remove_prefix(slash + 1);
  if (from.size() >= k_npz_suffix.size() &&
      from.substr(from.size() - k_npz_suffix.size()) == k_npz_suffix) {
    from.remove_suffix(k_npz_suffix.size());
  }
  while (!from.empty() && from.front() == '.') from.remove_prefix(1);
  std::string stem;
  while (!from.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_length(from), 1);
    const std::string_view unit = from.substr(0, length);
    const bool plain = printable(unit) == unit && unit != "\\";
    if (stem.size() + (plain ? length : 1) > k_max_name_bytes - k_npz_suffix.size()) break;
    stem += plain ? unit : "_";
    from.remove_prefix(length);
  }
  return (stem.empty() ? "snapshot" : stem) + std::string(k_npz_suffix);
}

}  // namespace mad
