#include "keep.hpp"

#include <string_view>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/tool.hpp"
#include "io/file.hpp"
#include "retention/local_place.hpp"
#include "retention/prune.hpp"
#include "snapshot/take_snapshot.hpp"

namespace mad {
namespace {

/// What follows the stem in a name that mad-snapshot makes up; it has this length.
constexpr std::string_view k_numbered_ending = "-0000000001-20260131T120000Z.npz";

}  // namespace

std::optional<std::uint64_t> parse_keep(const std::string& keep, const std::string& output) {
  if (keep.empty()) return std::nullopt;
  const auto number = parse_decimal(keep);
  if (!number || *number == 0) {
    usage_error("--keep: expected a number of snapshots, at least 1, found '" + printable(keep) +
                "'");
  }
  if (output == "-" || choose_output(output).naming != Naming::sequence) {
    usage_error("--keep: expected a directory as -o, because one name holds one snapshot");
  }
  return number;
}

void keep_newest(std::uint64_t keep, const std::string& npz_path, Report& report) {
  if (has_deadline()) {
    log_note("older snapshots stay: there is a deadline, and the next one can remove them");
    return;
  }
  const SplitPath path = split_path(npz_path);
  RetentionRule rule;
  rule.keep = keep;
  rule.just_written = path.name;
  const std::string sequence = path.name.substr(0, path.name.size() - k_numbered_ending.size());
  rule.concerns = [&](const std::string& name) {
    return name.size() == path.name.size() && is_made_up_name(name) &&
           name.compare(0, sequence.size(), sequence) == 0;
  };
  try {
    const auto place = open_local_place(path.directory);
    const PruneFigures figures = prune(*place, rule, Execution::real, [](const PruneAct& act) {
      log_verbose(act.path + ": removed, " + act.reason);
    });
    report.set("pruned", figures.removed);
    report.set("kept", figures.kept);
  } catch (const Error& error) {
    log_warning(error.one_line() + "; the snapshot is published, older ones stay");
    report.set("prune_error", error.reason);
  }
}

}  // namespace mad
