#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/exit_code.hpp"
#include "base/report.hpp"

namespace mad {

/// mad-watch's options as they are given (mad-watch(1)).
struct WatchOptions {
  std::string provider = "auto";
  std::string endpoint;
  std::string on = "preemption";
  std::optional<int> pid;
  std::string signal = "TERM";
  std::string vm_name;
  /// 0: as is usual for the cloud.
  double interval_s = 0;
  bool acknowledge = false;
  bool once = false;
};

/// Watches until a signal ends it; with --once until the first notice was handled, and with
/// --pid until that process has ended.  `command` may be empty.
ExitCode watch_command(const WatchOptions& options, const std::vector<std::string>& command,
                       Report& report);

}  // namespace mad
