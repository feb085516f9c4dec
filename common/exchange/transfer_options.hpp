#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "transport/transport.hpp"

namespace mad {

/// The options that every tool with a URL has, as they are given (cmd/transfer_options.hpp
/// declares them).
struct TransferOptions {
  std::vector<std::string> headers;
  std::string cacert;
  std::string endpoint_url;
  std::string region;
  double connect_timeout_s = 15;
  double stall_timeout_s = 30;
  double retry_budget_s = 180;
  double retry_delay_s = 0.5;
  unsigned retries = 6;
  bool netrc = false;
  bool no_sign_request = false;
};

/// Reads the files that headers are in.  Throws Error(usage) naming the option.
TransportOptions transport_options(const TransferOptions& options);

/// How the work on one object is shared out; not every tool has these.
struct ParallelOptions {
  unsigned connections = 0;  ///< 0: the tool's own choice
  std::string part_size;
  std::string limit_rate;
};

inline constexpr unsigned k_max_connections = 64;

/// `otherwise` where the option was not given.  Throws Error(usage) naming it.
std::uint64_t size_option(const std::string& option, const std::string& text,
                          std::uint64_t otherwise);

/// Throws Error(usage) about `option`.
[[noreturn]] void bad_option(const std::string& option, const std::string& what);

}  // namespace mad
