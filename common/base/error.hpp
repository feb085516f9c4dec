#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "base/exit_code.hpp"

namespace mad {

/// The one exception of the toolkit: a refusal or failure that a person can act on.
///
/// Printed once, by tool_main, as `TOOL: error: SUBJECT: WHAT`, the lines of
/// `what` after its first indented, then `  hint: HINT` where there is one.
class Error : public std::exception {
 public:
  /// `reason_id` is a stable kebab-case identifier, listed in mad(7).  `about` is
  /// the file, member, field or URL (already free of secrets; see url.hpp).
  /// `what` is lower case, without a full stop, and says what was expected and
  /// what was found.  `remedy` is printed as the hint, where one is known.
  Error(ExitCode exit_code, std::string reason_id, std::string about, std::string what,
        std::string remedy = {});

  ExitCode code;
  std::string reason;
  std::string subject;
  std::string message;
  std::string hint;

  /// `SUBJECT: MESSAGE`, over several lines where the message has several.
  const char* what() const noexcept override { return full_.c_str(); }

  /// The same on one line, for a seal, an environment variable or a log record.
  std::string one_line() const;

 private:
  std::string full_;
};

/// An Error for a failed system call: `SUBJECT: cannot VERB: strerror(errno_value)`.
/// ENOENT and ENOTDIR give not_found; everything else io, with the reason
/// `no-space` (ENOSPC, EDQUOT), `permission` (EACCES, EPERM, EROFS) or `io-error`.
/// Of a call that was interrupted (EINTR) it throws what interrupted it (check_interrupted).
Error system_error(std::string_view verb, std::string_view subject, int errno_value);

/// Like system_error, and a missing file is code io too: for outputs, where
/// "not found" would be mistaken for a missing snapshot.
Error output_error(std::string_view verb, std::string_view subject, int errno_value);

/// Control bytes, invalid UTF-8 and bidirectional overrides replaced, so that a name from outside
/// cannot steer the terminal or a log; cut where it would be longer than `max_bytes`, and what
/// was cut once is not cut again.
std::string printable(std::string_view text, std::size_t max_bytes = 300);

}  // namespace mad
