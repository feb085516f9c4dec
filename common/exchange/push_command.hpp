#pragma once

#include <string>

#include "base/exit_code.hpp"
#include "base/report.hpp"
#include "exchange/transfer_options.hpp"

namespace mad {

/// mad-push's options as they are given (mad-push(1)).
struct PushOptions {
  /// A path, or `-`: a bundle on standard input.
  std::string snapshot;
  /// Empty: $MAD_PUSH_URL.
  std::string url;
  /// Empty: beside the npz.
  std::string manifest_url;
  TransferOptions transfer;
  ParallelOptions parallel;
  bool if_absent = false;
  bool verify = false;
};

ExitCode push_command(const PushOptions& options, Report& report);

}  // namespace mad
