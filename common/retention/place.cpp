#include "retention/place.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "manifest/json_text.hpp"
#include "manifest/manifest.hpp"

namespace mad {
namespace {

/// A list holds these of thousands of manifests.
constexpr std::size_t k_max_fact_bytes = 256;

std::optional<std::string> text_fact(const Manifest& manifest, const char* key) {
  const auto value = find_json(manifest.extra, {key});
  if (!value || json_kind(*value) == JsonKind::null) return std::nullopt;
  const std::string text =
      json_kind(*value) == JsonKind::string ? json_characters(*value) : std::string(*value);
  return text.substr(0, k_max_fact_bytes);
}

/// What is known of a session once all of its snapshots were looked at.
struct SessionRank {
  Timestamp latest;
  bool has_steps = true;
};
using SessionRanks = std::map<std::string, SessionRank>;

const std::string* session_of(const PlacedSnapshot& snapshot) {
  return snapshot.facts && snapshot.facts->session_id ? &*snapshot.facts->session_id : nullptr;
}

SessionRanks rank_sessions(const std::vector<PlacedSnapshot>& snapshots) {
  SessionRanks ranks;
  for (const PlacedSnapshot& snapshot : snapshots) {
    const std::string* session = session_of(snapshot);
    if (session == nullptr) continue;
    const auto [rank, is_new] = ranks.try_emplace(*session, SessionRank{snapshot.time()});
    if (!is_new) rank->second.latest = std::max(rank->second.latest, snapshot.time());
    rank->second.has_steps = rank->second.has_steps && snapshot.facts->step;
  }
  return ranks;
}

/// Where a snapshot stands; the greatest is the newest.
auto place_in_order(const PlacedSnapshot& snapshot, const SessionRanks& ranks) {
  constexpr std::int64_t k_least = std::numeric_limits<std::int64_t>::min();
  const std::int64_t step = snapshot.facts ? snapshot.facts->step.value_or(k_least) : k_least;
  const Timestamp time = snapshot.time();
  Timestamp group = time;
  std::string_view session;
  std::int64_t step_in_session = 0;
  if (const std::string* id = session_of(snapshot)) {
    const SessionRank& rank = ranks.at(*id);
    group = rank.latest;
    session = *id;
    if (rank.has_steps) step_in_session = step;
  }
  return std::make_tuple(group, session, step_in_session, time, step,
                         std::string_view(snapshot.name));
}

}  // namespace

ManifestFacts read_facts(std::string_view manifest, const std::string& subject) {
  const Manifest parsed = parse_manifest(manifest, subject);
  ManifestFacts facts;
  if (parsed.created_at) facts.created_at = parsed.created_at->substr(0, k_max_fact_bytes);
  facts.step = parsed.step;
  facts.session_id = text_fact(parsed, "session_id");
  facts.stage = text_fact(parsed, "stage_at_snapshot");
  facts.sha256 = parsed.sha256;
  facts.size_bytes = parsed.size_bytes;
  return facts;
}

std::string_view name_of(SnapshotState state) {
  constexpr std::array<std::string_view, 5> k_names = {"complete", "refused", "no-manifest",
                                                       "no-npz", "unreadable"};
  return k_names[static_cast<std::size_t>(state)];
}

std::uint64_t PlacedSnapshot::size_bytes() const {
  if (part(Part::npz)) return part(Part::npz)->size_bytes;
  std::uint64_t sum = 0;
  for (const auto& mark : parts) sum += mark ? mark->size_bytes : 0;
  return sum;
}

std::int64_t PlacedSnapshot::modified_s() const {
  if (part(Part::npz) && part(Part::npz)->modified_s) return *part(Part::npz)->modified_s;
  std::int64_t newest = 0;
  for (const auto& mark : parts) newest = std::max(newest, mark ? mark->modified_s.value_or(0) : 0);
  return newest;
}

Timestamp PlacedSnapshot::time() const {
  if (facts && facts->created_at) {
    if (const auto created = parse_rfc3339(*facts->created_at)) return *created;
  }
  return {modified_s(), 0};
}

bool PlacedSnapshot::is_plain() const {
  return std::all_of(parts.begin(), parts.end(),
                     [](const std::optional<PartMark>& mark) { return !mark || mark->is_file; });
}

bool is_verdict(const Error& error) {
  switch (error.code) {
    case ExitCode::refused:
    case ExitCode::schema:
    case ExitCode::topology:
    case ExitCode::not_found:
    case ExitCode::signature:
      return true;
    default:
      return false;
  }
}

void sort_newest_first(std::vector<PlacedSnapshot>& snapshots) {
  const SessionRanks ranks = rank_sessions(snapshots);
  std::sort(snapshots.begin(), snapshots.end(),
            [&](const PlacedSnapshot& a, const PlacedSnapshot& b) {
              return place_in_order(b, ranks) < place_in_order(a, ranks);
            });
}

}  // namespace mad
