#include "base/log.hpp"

#include <unistd.h>

#include <mutex>

#include "base/progress.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

struct Config {
  std::string tool = "mad";
  LogFormat format = LogFormat::text;
  LogLevel most = LogLevel::note;
};

Config& config() {
  static Config value;
  return value;
}

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return "error";
    case LogLevel::warning:
      return "warning";
    default:
      return "note";
  }
}

void put(std::string line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  clear_progress_line();
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = write(STDERR_FILENO, rest.data(), rest.size());
    if (n <= 0) return;  // nobody listens; there is nowhere left to say so
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string json_head(LogLevel level, std::string_view message) {
  return "{\"time\":" + json_quote(utc_now_rfc3339()) + ",\"tool\":" + json_quote(tool_name()) +
         ",\"level\":" + json_quote(name_of(level)) + ",\"message\":" + json_quote(message);
}

std::string indented(std::string_view message) {
  std::string out;
  for (const std::string_view line : split(message, '\n')) {
    if (!out.empty()) out += line.substr(0, 2) == "  " ? "\n" : "\n  ";
    out += line;
  }
  return out;
}

}  // namespace

void configure_log(std::string_view tool, LogFormat format, LogLevel most) {
  config() = {std::string(tool), format, most};
}

void log(LogLevel level, std::string_view message) {
  if (!log_shows(level)) return;
  if (config().format == LogFormat::json) return put(json_head(level, message) + "}");
  put(config().tool + ": " +
      (level <= LogLevel::warning ? name_of(level) + std::string(": ") : "") + indented(message));
}

void log_error(const Error& error) {
  if (config().format == LogFormat::json) {
    std::string line = json_head(LogLevel::error, error.message);
    line += ",\"code\":" + std::to_string(static_cast<int>(error.code));
    line += ",\"reason\":" + json_quote(error.reason);
    line += ",\"subject\":" + json_quote(error.subject);
    if (!error.hint.empty()) line += ",\"hint\":" + json_quote(error.hint);
    return put(line + "}");
  }
  std::string text = config().tool + ": error: " + indented(error.what());
  if (!error.hint.empty()) text += "\n  hint: " + error.hint;
  put(text);
}

bool log_shows(LogLevel level) {
  return level <= config().most;
}
LogFormat log_format() {
  return config().format;
}
const std::string& tool_name() {
  return config().tool;
}

}  // namespace mad
