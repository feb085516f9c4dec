#pragma once

#include <string>

#include "base/exit_code.hpp"
#include "base/report.hpp"
#include "exchange/transfer_options.hpp"

namespace mad {

/// mad-list's options as they are given (mad-list(1)).
struct ListOptions {
  std::string place;
  TransferOptions transfer;
  bool json = false;
  bool check = false;
};
ExitCode list_command(const ListOptions& options, Report& report);

/// mad-prune's options as they are given (mad-prune(1)).
struct PruneOptions {
  std::string place;
  TransferOptions transfer;
  std::string keep;
  std::string keep_within;
  std::string grace = "1h";
  bool dry_run = false;
  bool json = false;
};
ExitCode prune_command(const PruneOptions& options, Report& report);

}  // namespace mad
