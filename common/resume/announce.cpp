#include "resume/announce.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.hpp"
#include "process/run.hpp"

namespace mad {

EnvironmentFile::EnvironmentFile(const std::optional<std::string>& path) {
  if (!path) return;
  try {
    check_replaceable(*path);
    if (unlink(path->c_str()) != 0 && errno != ENOENT) {
      throw output_error("remove the old", *path, errno);
    }
    file_ = std::make_unique<AtomicFile>(*path, 0600, Durability::none);
  } catch (const Error& error) {
    obstacle_ = error;
  }
}

ExitCode EnvironmentFile::write(const Outcome& outcome) {
  if (obstacle_) return obstacle_->code;
  if (!file_) return ExitCode::ok;
  try {
    file_->write(as_bytes(format_environment(outcome)));
    file_->finish();
    return ExitCode::ok;
  } catch (const Error& error) {
    log_error(error);
    return error.code;
  }
}

void notify(const std::string& command, int timeout_ms) {
  try {
    const auto status = run_shell(command, timeout_ms);
    if (!status) {
      log_warning("--notify: ended after " + std::to_string(timeout_ms / 1000) + " s");
    } else if (WIFSIGNALED(*status)) {
      log_warning("--notify: ended by signal " + std::to_string(WTERMSIG(*status)));
    } else if (WEXITSTATUS(*status) != 0) {
      log_warning("--notify: exit status " + std::to_string(WEXITSTATUS(*status)));
    }
  } catch (const Error& error) {
    log_warning(std::string("--notify: ") + error.what());
  }
}

}  // namespace mad
