#include "base/error.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/interrupt.hpp"
#include "base/text.hpp"

namespace mad {

Error::Error(ExitCode exit_code, std::string reason_id, std::string about, std::string what,
             std::string remedy)
    : code(exit_code),
      reason(std::move(reason_id)),
      subject(std::move(about)),
      message(std::move(what)),
      hint(std::move(remedy)),
      full_(subject.empty() ? message : subject + ": " + message) {}

std::string Error::one_line() const {
  std::string line;
  bool at_break = false;
  for (char c : full_) {
    if (c == '\n') {
      line += ';';
      at_break = true;
    } else if (!(at_break && c == ' ')) {
      if (at_break) line += ' ';
      at_break = false;
      line += c;
    }
  }
  return line;
}

namespace {

std::string reason_of(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "no-space";
    case EACCES:
    case EPERM:
    case EROFS:
      return "permission";
    default:
      return "io-error";
  }
}

std::string sentence(std::string_view verb, int errno_value) {
  return "cannot " + std::string(verb) + ": " + std::strerror(errno_value);
}

}  // namespace

Error system_error(std::string_view verb, std::string_view subject, int errno_value) {
  if (errno_value == EINTR) check_interrupted();
  if (errno_value == ENOENT || errno_value == ENOTDIR) {
    return {ExitCode::not_found, "not-found", printable(subject), sentence(verb, errno_value)};
  }
  return output_error(verb, subject, errno_value);
}

Error output_error(std::string_view verb, std::string_view subject, int errno_value) {
  if (errno_value == EINTR) check_interrupted();
  return {ExitCode::io, reason_of(errno_value), printable(subject), sentence(verb, errno_value)};
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::string_view unit = text.substr(i, length == 0 ? 1 : length);
    // U+0080-9F are controls; U+202A-202E and U+2066-2069 reorder what follows.
    const bool c1 = length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    const bool bidi = length == 3 && byte == 0xE2 &&
                      ((unit[1] == '\x80' && unit[2] >= '\xAA' && unit[2] <= '\xAE') ||
                       (unit[1] == '\x81' && unit[2] >= '\xA6' && unit[2] <= '\xA9'));
    const bool plain = length != 0 && byte >= 0x20 && byte != 0x7F && !c1 && !bidi;
    // What was cut once stays as it is.
    if (out.size() + (plain ? unit.size() : 4 * unit.size()) > max_bytes) return out + "…";
    if (plain) {
      out += unit;
    } else {
      constexpr const char* k_digits = "0123456789abcdef";
      for (char c : unit) {
        const auto b = static_cast<unsigned char>(c);
        out += "\\x";
        out += k_digits[b >> 4U];
        out += k_digits[b & 15U];
      }
    }
    i += unit.size();
  }
  return out;
}

}  // namespace mad
