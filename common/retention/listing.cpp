#include "retention/listing.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "io/fd.hpp"

namespace mad {
namespace {

constexpr const char* k_listing_output = "standard output";
constexpr std::size_t k_columns = 7;
using Row = std::array<std::string, k_columns>;

std::string_view status_of(const PlacedSnapshot& snapshot, ListedCheck check) {
  if (check == ListedCheck::right) return "verified";
  return name_of(snapshot.state);
}

std::string quoted_or_null(const std::optional<std::string>& text) {
  return text ? json_quote(*text) : "null";
}

std::string shown(const std::optional<std::string>& text) {
  return text && !text->empty() ? printable(*text) : "-";
}

Row row_of(const PlacedSnapshot& snapshot, ListedCheck check) {
  const auto& facts = snapshot.facts;
  std::string status(status_of(snapshot, check));
  if (snapshot.error) status += ": " + snapshot.error->reason;
  return {printable(snapshot.name),
          facts && facts->created_at ? printable(*facts->created_at)
                                     : format_rfc3339(snapshot.modified_s()),
          facts && facts->step ? std::to_string(*facts->step) : "-",
          format_size(snapshot.size_bytes()),
          facts ? shown(facts->stage) : "-",
          facts ? shown(facts->session_id) : "-",
          std::move(status)};
}

/// Of the characters on a screen, as far as UTF-8 alone tells.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

void write_out(const std::string& text) {
  write_full(STDOUT_FILENO, as_bytes(text), k_listing_output);
}

ExitCode worse(ExitCode a, ExitCode b) {
  if (a == ExitCode::ok || b == ExitCode::ok) return a == ExitCode::ok ? b : a;
  return std::min(a, b);
}

/// Puts what the check found into the entry.
ListedCheck make_listed_check(Place& place, PlacedSnapshot& snapshot) {
  if (snapshot.state == SnapshotState::complete) {
    snapshot.error = place.check(snapshot);
    if (!snapshot.error) return ListedCheck::right;
    snapshot.state =
        is_verdict(*snapshot.error) ? SnapshotState::refused : SnapshotState::unreadable;
  }
  return snapshot.error ? ListedCheck::wrong : ListedCheck::not_made;
}

}  // namespace

std::string format_listed_json(const PlacedSnapshot& snapshot, const std::string& path,
                               ListedCheck check) {
  const auto& facts = snapshot.facts;
  std::string json = "{\"name\":" + json_quote(snapshot.name) + ",\"path\":" + json_quote(path) +
                     ",\"status\":" + json_quote(status_of(snapshot, check));
  json += ",\"created_at\":" + (facts ? quoted_or_null(facts->created_at) : "null");
  json += ",\"modified_at\":" + json_quote(format_rfc3339(snapshot.modified_s()));
  json += ",\"step\":" + (facts && facts->step ? std::to_string(*facts->step) : "null");
  json += ",\"size_bytes\":" + std::to_string(snapshot.size_bytes());
  json += ",\"stage\":" + (facts ? quoted_or_null(facts->stage) : "null");
  json += ",\"session_id\":" + (facts ? quoted_or_null(facts->session_id) : "null");
  json += ",\"sha256\":" + (facts ? json_quote(to_hex(facts->sha256)) : "null");
  json += std::string(",\"interrupted\":") + (snapshot.interrupted ? "true" : "false");
  json += ",\"reason\":" + (snapshot.error ? json_quote(snapshot.error->reason) : "null");
  json += ",\"message\":" + (snapshot.error ? json_quote(snapshot.error->one_line()) : "null");
  return json + "}\n";
}

std::string format_listed_text(const std::vector<PlacedSnapshot>& snapshots,
                               const std::vector<ListedCheck>& checks) {
  std::vector<Row> rows = {{"NAME", "TIME", "STEP", "SIZE", "STAGE", "SESSION", "STATUS"}};
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    rows.push_back(row_of(snapshots[i], checks[i]));
  }
  std::array<std::size_t, k_columns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < k_columns; ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < k_columns; ++i) {
      text += row[i];
      if (i + 1 < k_columns) text.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

ExitCode list_place(Place& place, const ListRequest& request, Report& report) {
  PlaceSurvey found = place.survey(WorkNeed::not_needed);
  sort_newest_first(found.snapshots);
  ExitCode code = ExitCode::ok;
  std::uint64_t complete = 0;
  std::vector<PlacedSnapshot> listed;
  std::vector<ListedCheck> checks;
  for (PlacedSnapshot& snapshot : found.snapshots) {
    const auto check = request.check ? make_listed_check(place, snapshot) : ListedCheck::not_made;
    // It was pruned away meanwhile.
    if (check == ListedCheck::wrong && snapshot.error->code == ExitCode::not_found) continue;
    if (check == ListedCheck::wrong) code = worse(code, snapshot.error->code);
    if (snapshot.state == SnapshotState::complete) ++complete;
    if (request.format == ListFormat::json) {
      write_out(format_listed_json(snapshot, place.path_of(snapshot.name), check));
    }
    listed.push_back(std::move(snapshot));
    checks.push_back(check);
  }
  if (request.format == ListFormat::text && !listed.empty()) {
    write_out(format_listed_text(listed, checks));
  }
  report.set("entries", static_cast<std::uint64_t>(listed.size()));
  report.set("complete", complete);
  return code;
}

}  // namespace mad
