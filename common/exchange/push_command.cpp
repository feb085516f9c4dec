#include "exchange/push_command.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/error.hpp"
#include "credentials/encoding.hpp"
#include "exchange/push.hpp"
#include "io/file.hpp"
#include "io/pipe.hpp"

namespace mad {
namespace {

[[noreturn]] void bad_destination(const std::string& text, const std::string& what,
                                  const std::string& hint = {}) {
  throw Error(ExitCode::usage, "usage", display_url_text(text), what, hint);
}

/// Throws Error(usage) for a path.
Url store_url(const std::string& text) {
  const auto scheme = scheme_of(text);
  if (!scheme || *scheme == "file") {
    bad_destination(text, "expected a URL of a store",
                    "'mad-fetch -o PATH SNAPSHOT' copies a snapshot to a path");
  }
  return parse_url(text);
}

/// The npz's URL: one that ends with a slash is a place for the snapshot's own name.
Url destination(const PushOptions& options) {
  const char* from_environment = std::getenv("MAD_PUSH_URL");
  const std::string text = !options.url.empty()          ? options.url
                           : from_environment != nullptr ? from_environment
                                                         : "";
  if (text.empty()) throw Error(ExitCode::usage, "usage", "URL", "expected one, or MAD_PUSH_URL");
  Url url = store_url(text);
  // A signature in a query may end with a slash as well, and so may a fragment.
  if (url.path.back() != '/' || (url.query.empty() && text.back() != '/')) return url;
  if (options.snapshot == "-") {
    bad_destination(text, "expected the npz's whole name, because a stream may have none");
  }
  if (!url.query.empty()) bad_destination(text, "expected the npz's whole name before a query");
  url.path += percent_encode_path(split_path(options.snapshot).name);
  return url;
}

PushRequest push_request(const PushOptions& options) {
  PushRequest request;
  request.url = destination(options);
  if (!options.manifest_url.empty()) request.manifest_url = store_url(options.manifest_url);
  request.if_absent = options.if_absent;
  request.verify = options.verify;
  request.transport = transport_options(options.transfer);
  if (options.parallel.connections > 0) request.plan.connections = options.parallel.connections;
  request.plan.part_bytes =
      size_option("--part-size", options.parallel.part_size, request.plan.part_bytes);
  request.limit_rate = size_option("--limit-rate", options.parallel.limit_rate, 0);
  if (request.plan.part_bytes == 0) bad_option("--part-size", "expected at least one byte");
  return request;
}

}  // namespace

ExitCode push_command(const PushOptions& options, Report& report) {
  const auto start = std::chrono::steady_clock::now();
  const PushRequest request = push_request(options);
  const bool stream = options.snapshot == "-";
  if (stream) {
    refuse_terminal(STDIN_FILENO, "expected a bundle on standard input, found a terminal");
    widen_pipe(STDIN_FILENO);
  }
  const auto source = stream ? push_from_bundle(STDIN_FILENO) : push_from_file(options.snapshot);
  push_snapshot(*source, request, report);
  report.set("seconds",
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return ExitCode::ok;
}

}  // namespace mad
