#include "base/report.hpp"

#include <array>
#include <cstdio>

#include "base/text.hpp"
#include "base/version.hpp"

namespace mad {

void Report::set_json(std::string_view key, std::string json) {
  for (auto& [name, value] : fields_) {
    if (name == key) {
      value = std::move(json);
      return;
    }
  }
  fields_.emplace_back(key, std::move(json));
}

void Report::set(std::string_view key, std::string_view text) {
  set_json(key, json_quote(text));
}
void Report::set(std::string_view key, std::uint64_t number) {
  set_json(key, std::to_string(number));
}
void Report::set(std::string_view key, bool value) {
  set_json(key, value ? "true" : "false");
}
void Report::set(std::string_view key, double number) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.6g", number);
  set_json(key, text.data());
}

std::string Report::format(std::string_view tool, ExitCode code) const {
  std::string out = "{\"tool\":" + json_quote(tool) + ",\"version\":" + json_quote(k_version);
  out +=
      ",\"status\":" + json_quote(status_) + ",\"code\":" + std::to_string(static_cast<int>(code));
  out += ",\"reason\":" + (reason_.empty() ? "null" : json_quote(reason_));
  for (const auto& [key, value] : fields_) out += "," + json_quote(key) + ":" + value;
  return out + "}\n";
}

}  // namespace mad
