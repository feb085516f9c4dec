#include "process/exec.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/streams.hpp"
#include "io/fd.hpp"

namespace mad {

ExitCode exec_command(const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);

  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null || dup2(null.get(), STDIN_FILENO) < 0) {
    log_error(output_error("open", "/dev/null", errno));
    return ExitCode::cannot_execute;
  }

  let_closed_outputs_take_all();
  // A signal between the last look and the new disposition waits behind the mask.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  check_interrupted();
  restore_original_signals();

  execvp(words[0], words.data());
  const int failure = errno;
  log_error({failure == ENOENT ? ExitCode::command_not_found : ExitCode::cannot_execute,
             failure == ENOENT ? "command-not-found" : "cannot-execute", printable(command[0]),
             std::string("cannot execute: ") + std::strerror(failure)});
  return failure == ENOENT ? ExitCode::command_not_found : ExitCode::cannot_execute;
}

}  // namespace mad
