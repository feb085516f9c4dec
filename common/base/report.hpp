#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/exit_code.hpp"

namespace mad {

/// The one JSON object that --report writes whatever happens.
///
/// Keys come out in the order in which they were first set, after `tool`,
/// `version`, `status`, `code` and `reason`, which tool_main fills in.
class Report {
 public:
  void set(std::string_view key, std::string_view text);
  void set(std::string_view key, const char* text) { set(key, std::string_view(text)); }
  void set(std::string_view key, const std::string& text) { set(key, std::string_view(text)); }
  void set(std::string_view key, std::uint64_t number);
  void set(std::string_view key, double number);
  void set(std::string_view key, bool value);
  /// `json` must be one valid JSON value.
  void set_json(std::string_view key, std::string json);

  /// The outcome in a word (`ok`, `error`, `signal`), or a tool's own, such as
  /// mad-resume's `resumed`, `fresh`, `failed`; wins over tool_main's.
  void set_status(std::string_view status) { status_ = status; }
  void set_reason(std::string_view reason) { reason_ = reason; }

  std::string format(std::string_view tool, ExitCode code) const;
  const std::string& status() const { return status_; }
  const std::string& reason() const { return reason_; }

 private:
  std::string status_;
  std::string reason_;
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace mad
