#pragma once

#include <optional>
#include <string>

#include "base/exit_code.hpp"
#include "base/report.hpp"
#include "exchange/transfer_options.hpp"

namespace mad {

/// mad-fetch's options as they are given (mad-fetch(1)).
struct FetchOptions {
  /// Empty: $RESUME_FROM_URL; empty too: absent.
  std::string url;
  std::string output;
  std::string manifest_url;
  TransferOptions transfer;
  ParallelOptions parallel;
  std::string max_size;
  std::string durability = "full";
  std::string mode;
  /// `url` is a place, of whose snapshots the newest is meant.
  bool latest = false;
  /// How many may be passed over for one that is valid.
  std::optional<unsigned> fallback;
  bool if_exists = false;
  bool skip_integrity_check = false;
};

/// Fetches to files, or as a bundle to standard output, which then gets a `failed` seal
/// for every Error, so that the stages behind it know the cause.
ExitCode fetch_command(const FetchOptions& options, Report& report);

}  // namespace mad
