#include "verify/verdict.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "verify/damage_text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_check_width = 11;
constexpr std::size_t k_result_width = 5;

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  out.append(width - std::min(width, out.size()), ' ');
  return out;
}

std::string_view word_of(CheckResult result) {
  switch (result) {
    case CheckResult::ok:
      return "ok";
    case CheckResult::bad:
      return "BAD";
    default:
      return "-";
  }
}

std::string_view id_of(CheckResult result) {
  switch (result) {
    case CheckResult::ok:
      return "ok";
    case CheckResult::bad:
      return "bad";
    default:
      return "not-checked";
  }
}

std::vector<std::string> lines_of(const Finding& finding) {
  std::vector<std::string> lines;
  if (!finding.expected.empty()) lines.push_back("expected " + finding.expected);
  if (!finding.found.empty()) lines.push_back("found    " + finding.found);
  if (!finding.detail.empty()) {
    for (const std::string_view line : split(finding.detail, '\n')) lines.emplace_back(line);
  }
  if (lines.empty()) lines.emplace_back();
  return lines;
}

std::string cause_of(const Error& error) {
  return error.reason + ", exit code " + std::to_string(static_cast<int>(error.code));
}

std::string conclusion_of(const Verdict& verdict) {
  if (verdict.error) return "NOT VERIFIED: " + cause_of(*verdict.error);
  if (verdict.integrity_skipped) return "structure only: the integrity check was skipped";
  return "verified";
}

std::string error_members(const Error& error) {
  return "\"reason\":" + json_quote(error.reason) + ",\"subject\":" + json_quote(error.subject) +
         ",\"message\":" + json_quote(error.message);
}

}  // namespace

std::string format_verdict(const Verdict& verdict) {
  std::string text = printable(verdict.path, 4096) + "\n";
  for (const Finding& finding : verdict.findings) {
    std::string head = "  " + padded(finding.check, k_check_width) +
                       padded(word_of(finding.result), k_result_width);
    for (const std::string& line : lines_of(finding)) {
      text += head + line + "\n";
      head.assign(head.size(), ' ');
    }
  }
  if (verdict.damage) text += format_damage(*verdict.damage);
  text += "  " + conclusion_of(verdict) + "\n";
  if (verdict.salvage_error) text += "  NOT SALVAGED: " + cause_of(*verdict.salvage_error) + "\n";
  return text;
}

std::string format_verdict_json(const Verdict& verdict) {
  std::string text = "{\"version\":1,\"path\":" + json_quote(verdict.path);
  const auto add = [&](const char* key, const std::string& json) {
    text += std::string(",\"") + key + "\":" + json;
  };
  const auto add_number = [&](const char* key, const std::optional<std::uint64_t>& number) {
    if (number) add(key, std::to_string(*number));
  };
  add("status", verdict.error               ? "\"not-verified\""
                : verdict.integrity_skipped ? "\"unverified\""
                                            : "\"verified\"");
  add("code", std::to_string(static_cast<int>(verdict.code())));
  if (verdict.error) text += ',' + error_members(*verdict.error);
  if (verdict.sha256) add("sha256", json_quote(*verdict.sha256));
  add_number("size_bytes", verdict.size_bytes);
  add_number("arrays", verdict.arrays);
  std::string checks;
  for (const Finding& finding : verdict.findings) {
    checks += (checks.empty() ? "" : ",") + std::string("{\"check\":") + json_quote(finding.check) +
              ",\"result\":" + json_quote(id_of(finding.result));
    if (!finding.expected.empty()) checks += ",\"expected\":" + json_quote(finding.expected);
    if (!finding.found.empty()) checks += ",\"found\":" + json_quote(finding.found);
    if (!finding.detail.empty()) checks += ",\"detail\":" + json_quote(finding.detail);
    checks += "}";
  }
  add("checks", "[" + checks + "]");
  if (verdict.damage) add("damage", format_damage_json(*verdict.damage));
  if (verdict.salvage_error)
    add("salvage_error", "{" + error_members(*verdict.salvage_error) + "}");
  return text + "}\n";
}

}  // namespace mad
