#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/atomic_file.hpp"
#include "resume/outcome.hpp"

namespace mad {

/// The file by which a shell learns the outcome: format_environment(), mode 0600, there
/// complete or not at all.
///
/// Construction removes what an earlier run left under the name, so that it cannot be taken
/// for this run's, and makes room; it does not throw, so that the obstacle can be a failure
/// of the resume.
class EnvironmentFile {
 public:
  explicit EnvironmentFile(const std::optional<std::string>& path);
  const std::optional<Error>& obstacle() const { return obstacle_; }
  /// Returns ok, or what went wrong, having said so.
  ExitCode write(const Outcome& outcome);

 private:
  std::optional<Error> obstacle_;
  std::unique_ptr<AtomicFile> file_;
};

/// Runs `command` with sh -c and the outcome in its environment (set_environment has been
/// called), within `timeout_ms`.  That it fails is a warning.  Throws Interrupted.
void notify(const std::string& command, int timeout_ms);

}  // namespace mad
