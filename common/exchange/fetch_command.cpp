#include "exchange/fetch_command.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <new>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "exchange/fetch.hpp"
#include "io/file.hpp"
#include "io/pipe.hpp"

namespace mad {
namespace {

RangeWishes range_wishes(const ParallelOptions& options) {
  constexpr std::uint64_t k_least = std::uint64_t{64} << 10U;
  constexpr std::uint64_t k_most = std::uint64_t{1} << 30U;
  RangeWishes wishes;
  if (options.connections != 0) wishes.connections = options.connections;
  if (!options.part_size.empty()) {
    wishes.part_bytes = size_option("--part-size", options.part_size, 0);
    if (*wishes.part_bytes < k_least || *wishes.part_bytes > k_most) {
      bad_option("--part-size", "expected 64K to 1G");
    }
  }
  const std::uint64_t rate = size_option("--limit-rate", options.limit_rate, 0);
  if (rate != 0) wishes.bytes_per_second = rate;
  return wishes;
}

FetchRequest request_of(const FetchOptions& options, const std::string& url) {
  FetchRequest request;
  request.url = url;
  request.manifest_url = options.manifest_url;
  request.if_exists = options.if_exists;
  request.skip_integrity_check = options.skip_integrity_check;
  request.max_size_bytes = size_option("--max-size", options.max_size, request.max_size_bytes);
  request.transport = transport_options(options.transfer);
  request.ranges = range_wishes(options.parallel);
  return request;
}

PublishOptions publish_options(const FetchOptions& options) {
  PublishOptions publish;
  if (options.durability == "none") {
    publish.durability = Durability::none;
  } else if (options.durability != "full") {
    bad_option("--durability", "expected full or none");
  }
  if (!options.mode.empty()) {
    constexpr mode_t k_most = 0777;
    if (options.mode.find_first_not_of("01234567") != std::string::npos ||
        options.mode.size() > 4) {
      bad_option("--mode", "expected an octal mode such as 0640");
    }
    publish.mode = static_cast<mode_t>(std::stoul(options.mode, nullptr, 8));
    if (*publish.mode > k_most) bad_option("--mode", "expected at most 0777");
  }
  return publish;
}

/// PATH itself, or the source's name inside it where it is a directory.
std::string output_path(const std::string& output, const std::string& url) {
  if (output.back() != '/' && !is_directory(output)) return output;
  return output + (output.back() == '/' ? "" : "/") + snapshot_name(url);
}

void fetch_to(Delivery& delivery, const FetchRequest& request, Report& report) {
  const auto start = std::chrono::steady_clock::now();
  if (request.skip_integrity_check && !request.url.empty()) {
    log_warning("integrity check skipped: a missing manifest is not refused");
  }
  fetch_snapshot(request, delivery, report);
  report.set("seconds",
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

/// Tells `delivery` of every failure of `fetch`.
template <class Fetch>
void fetch_or_tell(Delivery& delivery, const Fetch& fetch) {
  try {
    fetch();
  } catch (const DeadlinePassed&) {
    const PastDeadline last_words;
    delivery.failed(deadline_error());
    throw;
  } catch (const Error& error) {
    delivery.failed(error);
    throw;
  } catch (const std::bad_alloc&) {
    delivery.failed({ExitCode::io, "no-memory", "memory", "the system gives no more of it"});
    throw;
  } catch (const std::exception& error) {
    delivery.failed({ExitCode::bug, "bug", "internal error", error.what()});
    throw;
  }
}

void fetch_to_stdout(const FetchOptions& options, const std::string& url, Report& report) {
  refuse_terminal(STDOUT_FILENO, "refusing to write a bundle to a terminal");
  widen_pipe(STDOUT_FILENO);
  const auto bundle = deliver_bundle(STDOUT_FILENO, snapshot_name(url));
  fetch_or_tell(*bundle, [&] { fetch_to(*bundle, request_of(options, url), report); });
}

}  // namespace

ExitCode fetch_command(const FetchOptions& options, Report& report) {
  const char* from_environment = std::getenv("RESUME_FROM_URL");
  const std::string url = !options.url.empty()          ? options.url
                          : from_environment != nullptr ? from_environment
                                                        : "";
  if (options.output.empty() || options.output == "-") {
    fetch_to_stdout(options, url, report);
    return ExitCode::ok;
  }
  const std::string path = output_path(options.output, url);
  const FetchRequest request = request_of(options, url);
  const auto files = deliver_files(path, name_sources(request), publish_options(options));
  fetch_or_tell(*files, [&] { fetch_to(*files, request, report); });
  report.set("path", path);
  return ExitCode::ok;
}

}  // namespace mad
