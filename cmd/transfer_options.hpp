#pragma once

#include <CLI/CLI.hpp>

#include "exchange/transfer_options.hpp"

namespace mad {

/// Declares what the tools with a URL have in common.
inline void declare_transfer(CLI::App& app, TransferOptions& o) {
  app.add_option("-H,--header", o.headers, "Send 'Name: value', or the lines of @FILE")
      ->type_name("HEADER");
  app.add_flag("--netrc", o.netrc, "Take user and password from ~/.netrc");
  app.add_option("--cacert", o.cacert, "Trust the CAs in FILE (PEM) instead of the system's")
      ->type_name("FILE");
  app.add_option("--endpoint-url", o.endpoint_url, "An object store other than the cloud's own")
      ->type_name("URL");
  app.add_option("--region", o.region, "Of the bucket (default: as the AWS tools find it)")
      ->type_name("NAME");
  app.add_flag("--no-sign-request", o.no_sign_request, "Use no credentials: a public bucket");
  app.add_option("--connect-timeout", o.connect_timeout_s, "Time to connect (default 15)")
      ->type_name("SECONDS");
  app.add_option("--stall-timeout", o.stall_timeout_s, "Longest time without a byte (default 30)")
      ->type_name("SECONDS");
  app.add_option("--retries", o.retries, "Attempts after the first without progress (default 6)")
      ->type_name("N");
  app.add_option("--retry-budget", o.retry_budget_s, "Time for them all (default 180)")
      ->type_name("SECONDS");
  app.add_option("--retry-delay", o.retry_delay_s, "Bound of the first wait (default 0.5)")
      ->type_name("SECONDS");
}

inline void declare_parallel(CLI::App& app, ParallelOptions& o) {
  app.add_option("--connections", o.connections, "Parts on their way at once")
      ->type_name("N")
      ->check(CLI::Range(1U, k_max_connections));
  app.add_option("--part-size", o.part_size, "Of each part, at least")->type_name("SIZE");
  app.add_option("--limit-rate", o.limit_rate, "At most so many bytes a second, on average")
      ->type_name("SIZE");
}

}  // namespace mad
