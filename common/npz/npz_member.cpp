#include "npz/npz_member.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace mad {

std::string key_defect(std::string_view key) {
  constexpr std::size_t k_max_key_bytes = 1024;
  constexpr std::size_t k_max_component_bytes = 255;
  if (key.empty()) return "it is empty";
  if (key.size() > k_max_key_bytes) {
    return "it has " + std::to_string(key.size()) + " bytes, more than " +
           std::to_string(k_max_key_bytes);
  }
  if (!is_utf8(key)) return "it is not UTF-8";
  for (const char c : key) {
    if (c == '\0') return "it holds a NUL";
    if (c == '\\') return "it holds a backslash";
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return "it holds a control byte";
  }
  if (key.find('/') == std::string_view::npos) return "it has no '/' between node and field";
  std::size_t left = key.size() + 1;
  for (const std::string_view component : split(key, '/')) {
    left -= component.size() + 1;
    if (component.empty()) return "a component between its slashes is empty";
    if (component == "." || component == "..") {
      return "a component is '" + std::string(component) + "'";
    }
    const std::size_t suffix = left == 0 ? 4 : 0;
    if (component.size() + suffix > k_max_component_bytes) {
      return "a component has " + std::to_string(component.size() + suffix) + " bytes, more than " +
             std::to_string(k_max_component_bytes);
    }
  }
  return {};
}

bool is_hidden(std::string_view path) {
  return path.substr(0, 1) == "." || path.find("/.") != std::string_view::npos;
}

bool is_meta_key(std::string_view key) {
  return key.substr(0, 6) == "_meta/";
}

}  // namespace mad
