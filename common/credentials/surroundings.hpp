#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "credentials/cloud.hpp"
#include "credentials/http_port.hpp"

namespace mad {

std::optional<std::string> process_environment(const std::string& name);
/// Seconds since the epoch.
std::int64_t system_now();
/// A signal ends it (Interrupted).
void wait_for_retry(std::chrono::milliseconds time);

/// All that credentials take from the world, so that a test can put its own in place.
/// `http` must outlive every source that was made with it.
struct Surroundings {
  HttpPort* http = nullptr;
  std::function<std::optional<std::string>(const std::string& name)> environment =
      process_environment;
  std::function<std::int64_t()> now = system_now;
  std::function<void(std::chrono::milliseconds)> wait = wait_for_retry;
  /// The cloud that the machine's firmware names.
  std::function<std::optional<Cloud>()> firmware = [] { return cloud_of_firmware(); };

  /// A variable of the environment; an empty one counts as unset, as the vendors have it.
  std::optional<std::string> variable(const std::string& name) const;
  /// `~/…` replaced by $HOME where that is set.
  std::string expand_home(const std::string& path) const;
};

/// Whether somebody said where a file is, or it is looked for where such files are.
enum class FilePlace { named, usual };

/// A file with credentials, at most `max_bytes` (1 MiB) long; nothing where there is none, or
/// where the usual place is not this user's to look into.  Symbolic links are followed:
/// Kubernetes mounts its tokens as links.  Throws Error(access_denied, `credentials-invalid`)
/// for what is no regular file, is longer or cannot be read.
std::optional<Secret> read_credentials_file(const std::string& path, FilePlace place,
                                            std::size_t max_bytes = 1U << 20U);

/// What a file or an answer should have been: Error(access_denied, `credentials-invalid`).
/// `what` quotes no value.
Error invalid_credentials(const std::string& subject, const std::string& what,
                          const std::string& hint = {});

}  // namespace mad
