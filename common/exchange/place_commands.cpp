#include "exchange/place_commands.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exchange/remote_place.hpp"
#include "io/fd.hpp"
#include "retention/listing.hpp"
#include "retention/prune.hpp"

namespace mad {
namespace {

std::unique_ptr<FetchPlace> place_of(const std::string& place, const TransferOptions& transfer) {
  FetchRequest request;
  request.url = place;
  request.transport = transport_options(transfer);
  return open_place(place, request);
}

std::chrono::seconds age_option(const std::string& option, const std::string& text) {
  const auto age = parse_age(text);
  if (!age) bad_option(option, "expected a number with s, m, h, d or w, such as 90s, 12h or 2d");
  return *age;
}

RetentionRule rule_of(const PruneOptions& options) {
  RetentionRule rule;
  if (options.keep.empty() && options.keep_within.empty()) {
    bad_option("--keep", "expected it or --keep-within: what stays is for you to say");
  }
  if (!options.keep.empty()) {
    const auto keep = parse_decimal(options.keep);
    if (!keep || *keep == 0) {
      bad_option("--keep", "expected a number of snapshots, at least 1: the last valid one stays");
    }
    rule.keep = *keep;
  }
  if (!options.keep_within.empty()) {
    rule.keep_within = age_option("--keep-within", options.keep_within);
  }
  rule.grace = age_option("--grace", options.grace);
  return rule;
}

void say_act(const PruneAct& act, bool json) {
  std::string line;
  if (json) {
    line = "{\"kind\":" + json_quote(name_of(act.kind)) + ",\"name\":" + json_quote(act.name) +
           ",\"path\":" + json_quote(act.path) +
           ",\"size_bytes\":" + std::to_string(act.size_bytes) +
           ",\"reason\":" + json_quote(act.reason) + "}\n";
  } else {
    line = std::string(name_of(act.kind)) + "  " + printable(act.name) + "  " +
           format_size(act.size_bytes) + "  " + act.reason + '\n';
  }
  write_full(STDOUT_FILENO, as_bytes(line), "standard output");
}

}  // namespace

ExitCode list_command(const ListOptions& options, Report& report) {
  const auto place = place_of(options.place, options.transfer);
  report.set("place", place->path_of(""));
  ListRequest request;
  request.format = options.json ? ListFormat::json : ListFormat::text;
  request.check = options.check;
  return list_place(*place, request, report);
}

ExitCode prune_command(const PruneOptions& options, Report& report) {
  const RetentionRule rule = rule_of(options);
  const auto place = place_of(options.place, options.transfer);
  report.set("place", place->path_of(""));
  report.set("dry_run", options.dry_run);
  const PruneFigures figures =
      prune(*place, rule, options.dry_run ? Execution::dry_run : Execution::real,
            [&](const PruneAct& act) { say_act(act, options.json); });
  if (figures.spared) report.set_status("spared");
  report.set("kept", figures.kept);
  report.set("valid", figures.valid);
  report.set("refused", figures.refused);
  report.set("removed", figures.removed);
  report.set("removed_bytes", figures.removed_bytes);
  return ExitCode::ok;
}

}  // namespace mad
