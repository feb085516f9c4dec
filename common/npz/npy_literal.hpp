#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mad {

/// A Python literal of the kinds that stand in a `.npy` header.
struct PythonLiteral {
  enum class Kind { string, integer, boolean, tuple, list, dict };
  Kind kind = Kind::integer;
  std::u32string text;
  /// Of an integer; of a boolean 0 or 1.
  std::uint64_t number = 0;
  /// Of a tuple or list; of a dict keys and values in turn.
  std::vector<PythonLiteral> items;
};

/// Whether `3L`, as Python 2 wrote long integers, is one.
enum class LongSuffix { refused, accepted };

/// Parses one literal with nothing but blanks around it.  Nesting is bounded; so is
/// memory, by the length of `text`.  Throws Error(refused, `npy-invalid`).
PythonLiteral parse_python_literal(const std::u32string& text, LongSuffix suffix,
                                   const std::string& subject);

/// The literal on one line, printable and cut where it is long: for messages.
std::string describe_python_literal(const PythonLiteral& literal);

/// `text` as Python's repr() writes a string, in UTF-8.
std::string format_python_string(const std::u32string& text);

}  // namespace mad
