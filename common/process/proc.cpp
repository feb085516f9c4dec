#include "process/proc.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "base/text.hpp"
#include "io/fd.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

constexpr std::size_t k_longest_list = std::size_t{128} << 10U;

void append_children(std::vector<pid_t>& children, std::string_view list) {
  for (const std::string_view word : split(list, ' ')) {
    if (const auto pid = parse_decimal(word)) children.push_back(static_cast<pid_t>(*pid));
  }
}

}  // namespace

std::optional<ProcStat> read_proc_stat(int directory, const std::string& name) {
  const Fd file(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 4096> buffer;
  const ssize_t n = read(file.get(), buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(n));
  // The command's name stands in parentheses and may hold any byte: count from its end.
  const auto end = text.rfind(')');
  if (end == std::string_view::npos || end + 2 >= text.size()) return std::nullopt;
  const auto fields = split(text.substr(end + 2), ' ');
  if (fields.size() < 7 || fields[0].size() != 1) return std::nullopt;
  ProcStat stat;
  stat.state = fields[0][0];
  stat.parent = static_cast<pid_t>(parse_decimal(fields[1]).value_or(0));
  stat.flags = parse_decimal(fields[6]).value_or(0);
  return stat;
}

bool is_process(int proc, pid_t pid) {
  const Fd file(openat(proc, "status", O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  std::array<char, 4096> buffer;
  const ssize_t n = read(file.get(), buffer.data(), buffer.size());
  const std::string_view text(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  return text.find("\nTgid:\t" + std::to_string(pid) + '\n') != std::string_view::npos;
}

std::optional<std::vector<pid_t>> listed_children(int proc, const std::string& subject) {
  std::vector<pid_t> children;
  const Fd tasks(openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tasks) return children;
  for (const std::string& thread : list_directory(tasks.get(), subject)) {
    const std::string name = thread + "/children";
    const Fd file(openat(tasks.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
    if (file) {
      append_children(children, read_small_file(file.get(), k_longest_list, subject));
    } else if (errno == ENOENT && read_proc_stat(tasks.get(), thread + "/stat")) {
      return std::nullopt;
    }
  }
  return children;
}

std::vector<pid_t> children_by_parent(pid_t parent) {
  std::vector<pid_t> children;
  const Fd proc = open_directory("/proc");
  for (const std::string& name : list_directory(proc.get(), "/proc")) {
    const auto pid = parse_decimal(name);
    if (!pid) continue;
    const auto stat = read_proc_stat(proc.get(), name + "/stat");
    if (stat && stat->parent == parent) children.push_back(static_cast<pid_t>(*pid));
  }
  return children;
}

}  // namespace mad
