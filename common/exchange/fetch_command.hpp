#pragma once

#include <string>
#include <vector>

#include "base/exit_code.hpp"
#include "base/report.hpp"

namespace mad {

/// mad-fetch's options as they are given (mad-fetch(1)).
struct FetchOptions {
  /// Empty: $RESUME_FROM_URL; empty too: absent.
  std::string url;
  std::string output;
  std::string manifest_url;
  std::vector<std::string> headers;
  std::string cacert;
  std::string endpoint_url;
  std::string region;
  std::string max_size;
  std::string durability = "full";
  std::string mode;
  double connect_timeout_s = 15;
  double stall_timeout_s = 30;
  double retry_budget_s = 180;
  double retry_delay_s = 0.5;
  unsigned retries = 6;
  bool if_exists = false;
  bool netrc = false;
  bool no_sign_request = false;
  bool skip_integrity_check = false;
};

/// Fetches to files, or as a bundle to standard output, which then gets a `failed` seal
/// for every Error, so that the stages behind it know the cause.
ExitCode fetch_command(const FetchOptions& options, Report& report);

}  // namespace mad
