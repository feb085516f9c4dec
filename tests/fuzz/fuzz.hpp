#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "io/fd.hpp"
#include "io/source.hpp"

/// MAD_FUZZ_TARGET(name) { … input … } is one target, in the file of that name.  `input`, a
/// std::string_view, ends where its memory does.
#define MAD_FUZZ_TARGET(name)                                                 \
  static void fuzz_##name(std::string_view input);                            \
  static const mad::fuzz::Registration registered_##name(#name, fuzz_##name); \
  static void fuzz_##name(std::string_view input)

namespace mad::fuzz {

using Target = void (*)(std::string_view input);

/// All targets by their names.
std::map<std::string, Target>& targets();

/// Makes a target one of them.
class Registration {
 public:
  Registration(const char* name, Target target) { targets().emplace(name, target); }
};

void run(Target target, const std::uint8_t* data, std::size_t size);

/// Ends the process, for the fuzzer to keep the input, where a property does not hold.
void require(bool holds, const char* property);

/// Whether `act` ends with an Error; that one is fit to be shown to a person.
bool refuses(const std::function<void()>& act);

/// Takes the first byte off, a choice among `kinds`.
std::size_t take_choice(std::string_view& input, std::size_t kinds);
/// Takes what stands before the next `\x1e`, and that byte; all where there is none.
std::string_view take_field(std::string_view& input);

/// A file in memory with these bytes.
Fd file_of(std::string_view bytes);
std::string bytes_of(const Fd& file);
std::string read_rest(Source& source);

/// Gives bytes in portions of at most `most`.
class TextSource final : public Source {
 public:
  TextSource(std::string_view text, std::size_t most) : text_(text), most_(most) {}
  std::size_t read(MutableBytes into) override;

 private:
  std::string_view text_;
  std::size_t most_;
};

/// A directory that this process has for its targets, empty at each call.
std::string empty_directory();
void write_file(const std::string& path, std::string_view bytes);
std::string read_file(const std::string& path);
bool exists(const std::string& path);

}  // namespace mad::fuzz
