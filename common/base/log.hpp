#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace mad {

enum class LogFormat { text, json };

/// What a person sees on standard error, one process-wide stream of it.
///
/// text: `TOOL: error|warning|note: …`; json: one object a line with `time`,
/// `tool`, `level`, `message` and, for errors, `code`, `reason`, `subject`,
/// `hint`.  Every text from outside goes through printable().  Thread-safe.
enum class LogLevel { error = 0, warning = 1, note = 2, verbose = 3 };

/// `most` is the least important level still said: warning with -q, note by
/// default, verbose with -v.
void configure_log(std::string_view tool, LogFormat format, LogLevel most);

void log(LogLevel level, std::string_view message);
inline void log_warning(std::string_view message) {
  log(LogLevel::warning, message);
}
inline void log_note(std::string_view message) {
  log(LogLevel::note, message);
}
inline void log_verbose(std::string_view message) {
  log(LogLevel::verbose, message);
}

/// The form of STYLE: subject first, further lines of the message indented.
void log_error(const Error& error);

/// Whether `level` would be said at all; a progress bar asks for note.
bool log_shows(LogLevel level);
LogFormat log_format();

/// The tool's name as given to configure_log.
const std::string& tool_name();

}  // namespace mad
