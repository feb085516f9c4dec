#include "exchange/transfer_options.hpp"

#include <chrono>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

using std::chrono::milliseconds;

milliseconds seconds_of(double seconds, const std::string& option, bool zero_is_fine = false) {
  constexpr double k_most = 1e6;
  if (!(seconds >= 0 && seconds <= k_most) || (seconds == 0 && !zero_is_fine)) {
    bad_option(option, "expected a positive number of seconds, at most 1000000");
  }
  const auto whole = static_cast<std::int64_t>(seconds * 1000);
  return milliseconds(whole == 0 && seconds > 0 ? 1 : whole);
}

}  // namespace

void bad_option(const std::string& option, const std::string& what) {
  throw Error(ExitCode::usage, "usage", option, what);
}

std::uint64_t size_option(const std::string& option, const std::string& text,
                          std::uint64_t otherwise) {
  if (text.empty()) return otherwise;
  const auto size = parse_size(text);
  if (!size) bad_option(option, "expected bytes as 4096, 64K, 2M, 8G or 1T");
  return *size;
}

TransportOptions transport_options(const TransferOptions& options) {
  TransportOptions transport;
  for (const std::string& header : options.headers) parse_header(header, transport.headers);
  transport.use_netrc = options.netrc;
  transport.endpoint_url = options.endpoint_url;
  transport.region = options.region;
  transport.anonymous = options.no_sign_request;
  transport.ca_file = options.cacert;
  if (!options.cacert.empty()) open_regular(options.cacert);
  transport.connect_timeout = seconds_of(options.connect_timeout_s, "--connect-timeout");
  transport.stall_timeout = seconds_of(options.stall_timeout_s, "--stall-timeout");
  transport.retry.retries = options.retries;
  transport.retry.budget = seconds_of(options.retry_budget_s, "--retry-budget", true);
  transport.retry.first_delay = seconds_of(options.retry_delay_s, "--retry-delay", true);
  return transport;
}

}  // namespace mad
