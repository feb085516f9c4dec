#include "process/child.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/streams.hpp"

namespace mad {
namespace {

/// This process's environment, changed.  Made before the fork: a child of a process with
/// threads may not allocate.
std::vector<std::string> environment_with(const ChildCommand::Variables& variables) {
  std::vector<std::string> lines;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string line = *each;
    bool replaced = false;
    for (const auto& [name, value] : variables) {
      replaced = replaced || line.compare(0, name.size() + 1, name + '=') == 0;
    }
    if (!replaced) lines.push_back(line);
  }
  for (const auto& [name, value] : variables) {
    if (value) lines.push_back(name + '=' + *value);
  }
  return lines;
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void become_command(char* const* words, char* const* lines) {
  let_closed_outputs_take_all();
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    _exit(126);
  }
  // libcurl leaves sockets of its own open for whoever is executed.
  syscall(SYS_close_range, 3U, ~0U, 0U);
  restore_original_signals();
  execvpe(words[0], words, lines);
  _exit(errno == ENOENT ? 127 : 126);
}

}  // namespace

ChildCommand::ChildCommand(const std::vector<std::string>& words, const Variables& variables) {
  const std::vector<std::string> lines = environment_with(variables);
  const std::vector<char*> word_pointers = pointers_to(words);
  const std::vector<char*> line_pointers = pointers_to(lines);
  pid_ = fork();
  if (pid_ < 0) throw output_error("start", printable(words[0]), errno);
  if (pid_ == 0) become_command(word_pointers.data(), line_pointers.data());
  pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0U)));
}

std::optional<int> ChildCommand::reap_child(int options) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = waitpid(pid_, &status, options);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) return std::nullopt;
  if (ended < 0) throw output_error("wait for", "the command", errno);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::optional<int> ChildCommand::status() {
  return reap_child(WNOHANG);
}

int ChildCommand::wait() {
  return *reap_child(0);
}

}  // namespace mad
