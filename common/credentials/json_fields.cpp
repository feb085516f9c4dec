#include <nlohmann/json.hpp>
#include <set>

#include "base/text.hpp"
#include "credentials/service.hpp"

namespace mad {
namespace {

using nlohmann::json;

/// Discarded where the text is no JSON or says a key of its own twice.
json parse_strictly(std::string_view text) {
  std::set<std::string> keys;
  bool twice = false;
  const json::parser_callback_t each = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1) {
      twice = !keys.insert(value.get_ref<const std::string&>()).second || twice;
    }
    // What is nested is not kept: nobody reads it.
    return depth <= 1 || event == json::parse_event_t::key;
  };
  json object = json::parse(text, each, false);
  return twice ? json(json::value_t::discarded) : object;
}

}  // namespace

JsonFields::JsonFields(const Secret& text, std::string subject) : subject_(std::move(subject)) {
  json object = parse_strictly(text.reveal());
  if (!object.is_object()) throw invalid_credentials(subject_, "expected a JSON object");
  for (auto& [name, value] : object.items()) {
    if (value.is_string()) {
      members_[name] = Secret(std::move(value.get_ref<std::string&>()));
    } else if (value.is_number_integer()) {
      members_[name] = Secret(value.dump());
    }
  }
}

Secret JsonFields::find(const std::string& name) const {
  const auto at = members_.find(name);
  return at == members_.end() ? Secret() : at->second;
}

Secret JsonFields::require(const std::string& name) const {
  Secret value = find(name);
  if (value.empty()) throw invalid_credentials(subject_, "expected a string '" + name + "'");
  return value;
}

Secret JsonFields::require_token(const std::string& name) const {
  Secret value = require(name);
  if (!is_token(value.reveal())) {
    throw invalid_credentials(subject_, "expected '" + name + "' to be printable ASCII");
  }
  return value;
}

std::string JsonFields::require_text(const std::string& name) const {
  return std::string(require_token(name).reveal());
}

std::optional<std::int64_t> JsonFields::find_number(const std::string& name) const {
  const auto number = parse_decimal(find(name).reveal());
  if (!number || *number > INT64_MAX) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

}  // namespace mad
