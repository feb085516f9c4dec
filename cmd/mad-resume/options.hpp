#pragma once

#include <optional>
#include <string>

#include "resume/resume.hpp"

namespace CLI {
class App;
}

namespace mad {

struct ResumeCommand {
  ResumeOptions resume;
  std::string max_size;
  std::string durability = "full";
  double lock_timeout_s = 30;
  std::optional<std::string> env_file;
  std::optional<std::string> notify;
  double notify_timeout_s = 10;
  bool require = false;
};

void declare_resume(CLI::App& app, ResumeCommand& command);

/// What resume() takes, from the words given.  Throws Error(usage).
ResumeOptions resume_options(const ResumeCommand& command);

}  // namespace mad
