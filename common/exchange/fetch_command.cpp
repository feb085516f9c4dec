#include "exchange/fetch_command.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <new>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "bundle/bundle.hpp"
#include "exchange/fetch.hpp"
#include "exchange/file_pair.hpp"
#include "exchange/latest_search.hpp"
#include "io/file.hpp"
#include "io/pipe.hpp"

namespace mad {
namespace {

bool to_stdout(const FetchOptions& options) {
  return options.output.empty() || options.output == "-";
}

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

FetchRequest request_of(const FetchOptions& options) {
  FetchRequest request;
  request.url = options.url;
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

/// What the npz is called where it goes.
std::string name_of(const FetchRequest& request) {
  return request.found ? bundle_name(last_component(*request.found)) : snapshot_name(request.url);
}

/// PATH itself, or the source's name inside it where it is a directory.
std::string output_path(const std::string& output, const FetchRequest& request) {
  if (output.back() != '/' && !is_directory(output)) return output;
  return output + (output.back() == '/' ? "" : "/") + name_of(request);
}

/// Between two looks at it.
Error place_emptied(const FetchOptions& options) {
  return {ExitCode::not_found, "snapshot-missing", display_source(options.url),
          "there was a snapshot, and there is none any more"};
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

/// What `work` gives; every failure of it is told of, and thrown.
template <class Work, class Tell>
auto work_or_tell(const Work& work, const Tell& tell) {
  try {
    return work();
  } catch (const DeadlinePassed&) {
    const PastDeadline last_words;
    tell(deadline_error());
    throw;
  } catch (const Error& error) {
    tell(error);
    throw;
  } catch (const std::bad_alloc&) {
    tell({ExitCode::io, "no-memory", "memory", "the system gives no more of it"});
    throw;
  } catch (const std::exception& error) {
    tell({ExitCode::bug, "bug", "internal error", error.what()});
    throw;
  }
}

/// Tells `delivery` of every failure of `fetch`.
template <class Fetch>
void fetch_or_tell(Delivery& delivery, const Fetch& fetch) {
  work_or_tell(fetch, [&](const Error& error) { delivery.failed(error); });
}

/// With a bundle for an output, what keeps it from being begun is told in it, too.
template <class Prepare>
auto prepare_or_tell(const FetchOptions& options, const Prepare& prepare) {
  return work_or_tell(prepare, [&](const Error& error) {
    if (to_stdout(options)) deliver_bundle(STDOUT_FILENO, snapshot_name(""))->failed(error);
  });
}

void fetch_to_files(const FetchOptions& options, const FetchRequest& request, Report& report) {
  const std::string path = output_path(options.output, request);
  const auto files = deliver_files(path, name_sources(request), publish_options(options));
  fetch_or_tell(*files, [&] { fetch_to(*files, request, report); });
  // Where there is a reason, there was nothing to fetch.
  if (report.reason().empty()) report.set("path", path);
}

/// Where there is no snapshot to take: the bundle says so, and so does the exit code.
ExitCode nothing_there_yet(const FetchOptions& options, Report& report) {
  const std::string message = display_source(options.url) + ": no snapshot is there yet";
  const auto delivery = to_stdout(options)
                            ? deliver_bundle(STDOUT_FILENO, snapshot_name(""))
                            : deliver_files(options.output, {}, publish_options(options));
  report_absent(*delivery, report, "not-there-yet", message);
  report.set_status("absent");
  return options.if_exists ? ExitCode::ok : ExitCode::not_found;
}

/// Whether another snapshot may be tried; the search knows by then.
bool try_another(LatestSearch& search, const FetchOptions& options, const Error& error) {
  if (error.code == ExitCode::not_found && search.look_again()) return true;
  if (to_stdout(options) || !options.fallback || !is_verdict(error)) return false;
  search.pass_over(error);
  return true;
}

void fetch_latest_to_files(LatestSearch& search, const FetchOptions& options, FetchRequest request,
                           Report& report) {
  for (;;) {
    try {
      return fetch_to_files(options, request, report);
    } catch (const Error& error) {
      if (!try_another(search, options, error)) throw;
    }
    auto other = search.next();
    search.tell(report);
    if (!other) throw place_emptied(options);
    request = std::move(*other);
  }
}

/// What was written of one that is gone by now is void.
void fetch_latest_to_stdout(LatestSearch& search, const FetchOptions& options, FetchRequest request,
                            Report& report) {
  const auto bundle = deliver_bundle(STDOUT_FILENO, name_of(request));
  fetch_or_tell(*bundle, [&] {
    for (;;) {
      try {
        return fetch_to(*bundle, request, report);
      } catch (const Error& error) {
        if (!try_another(search, options, error)) throw;
      }
      bundle->restart();
      auto other = search.next();
      search.tell(report);
      if (!other) throw place_emptied(options);
      request = std::move(*other);
    }
  });
}

ExitCode fetch_latest(const FetchOptions& options, const FetchRequest& base, Report& report) {
  report.set("place", redacted_source(options.url));
  std::optional<FetchRequest> request;
  auto search = prepare_or_tell(options, [&] {
    // A file is verified before it is published; what is in a stream is not taken back.
    LatestSearch begun(base, options.fallback, to_stdout(options) ? Proof::before : Proof::by_sink);
    request = begun.next();
    begun.tell(report);
    return begun;
  });
  if (!request) return nothing_there_yet(options, report);
  if (to_stdout(options)) {
    fetch_latest_to_stdout(search, options, *request, report);
  } else {
    fetch_latest_to_files(search, options, *request, report);
  }
  return ExitCode::ok;
}

void require_consistent(const FetchOptions& options) {
  if (options.fallback && !options.latest) bad_option("--fallback", "expected --latest with it");
  if (options.latest && !options.manifest_url.empty()) {
    bad_option("--manifest-url", "expected no --latest with it");
  }
}

}  // namespace

ExitCode fetch_command(const FetchOptions& given, Report& report) {
  FetchOptions options = given;
  const char* from_environment = std::getenv("RESUME_FROM_URL");
  if (options.url.empty() && from_environment != nullptr) options.url = from_environment;
  if (to_stdout(options)) {
    refuse_terminal(STDOUT_FILENO, "refusing to write a bundle to a terminal");
    widen_pipe(STDOUT_FILENO);
  }
  const FetchRequest request = prepare_or_tell(options, [&] {
    require_consistent(options);
    return request_of(options);
  });
  if (options.latest && !options.url.empty()) return fetch_latest(options, request, report);
  if (!to_stdout(options)) {
    fetch_to_files(options, request, report);
    return ExitCode::ok;
  }
  const auto bundle = deliver_bundle(STDOUT_FILENO, name_of(request));
  fetch_or_tell(*bundle, [&] { fetch_to(*bundle, request, report); });
  return ExitCode::ok;
}

}  // namespace mad
