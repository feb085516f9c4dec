#include "fuzz.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mad::fuzz {
namespace {

/// Gone with the process.
class Directory {
 public:
  Directory() {
    // In memory where there is such a place: thousands of files a second.
    const bool has_shm = access("/dev/shm", W_OK) == 0;
    std::string pattern = has_shm ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    pattern += "/mad-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string path;
};

void check_shown(const std::string& text) {
  require(is_utf8(text), "an error's text is UTF-8");
  for (const char c : text) {
    require(static_cast<unsigned char>(c) >= 0x20 || c == '\n',
            "an error's text is free of control bytes");
    require(c != 0x7F, "an error's text is free of control bytes");
  }
  require(text.size() < 20'000, "an error's text is bounded");
}

}  // namespace

std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> known;
  return known;
}

void require(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", property);
  std::abort();
}

void run(Target target, const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    configure_log("fuzz", LogFormat::text, LogLevel::error);
    return true;
  }();
  require(quiet, "the log is configured");
  target({reinterpret_cast<const char*>(data), size});
}

bool refuses(const std::function<void()>& act) {
  try {
    act();
    return false;
  } catch (const Error& error) {
    require(!error.reason.empty() && error.reason != "bug", "an error has a reason");
    require(error.code != ExitCode::ok && error.code != ExitCode::bug, "an error has a code");
    check_shown(error.what());
    check_shown(error.hint);
    require(error.one_line().find('\n') == std::string::npos, "one_line() is one line");
    return true;
  }
}

std::size_t take_choice(std::string_view& input, std::size_t kinds) {
  if (input.empty()) return 0;
  const std::size_t choice = static_cast<unsigned char>(input[0]) % kinds;
  input.remove_prefix(1);
  return choice;
}

std::string_view take_field(std::string_view& input) {
  const std::size_t end = std::min(input.find('\x1e'), input.size());
  const std::string_view field = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return field;
}

Fd file_of(std::string_view bytes) {
  Fd file(memfd_create("fuzz", MFD_CLOEXEC));
  write_full(file.get(), as_bytes(bytes), "memory");
  return file;
}

std::string bytes_of(const Fd& file) {
  std::string text(static_cast<std::size_t>(lseek(file.get(), 0, SEEK_END)), '\0');
  pread_full(file.get(), std::as_writable_bytes(std::span(text)), 0, "memory");
  return text;
}

std::string read_rest(Source& source) {
  std::string text;
  std::array<std::byte, 4096> buffer{};
  while (const std::size_t n = source.read(buffer)) text += as_text(Bytes(buffer).first(n));
  return text;
}

std::size_t TextSource::read(MutableBytes into) {
  const std::size_t n = std::min({most_, into.size(), text_.size()});
  std::copy_n(as_bytes(text_).begin(), n, into.begin());
  text_.remove_prefix(n);
  return n;
}

std::string empty_directory() {
  static const Directory directory;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path)) {
    std::filesystem::remove_all(entry.path());
  }
  return directory.path;
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(file.good(), "a file of the target's own is written");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() !=
         std::filesystem::file_type::not_found;
}

}  // namespace mad::fuzz
