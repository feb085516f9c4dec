#include "retention/place.hpp"

#include <algorithm>

#include "manifest/manifest.hpp"
#include "retention/prune.hpp"
#include "support/catch.hpp"

namespace {

using namespace mad;
using test::error_from;

struct Made {
  const char* name;
  const char* created_at;  ///< null: the manifest does not say it
  std::optional<std::int64_t> step;
  const char* session;  ///< null: none
  std::int64_t modified_s = 0;
};

PlacedSnapshot placed(const Made& made) {
  PlacedSnapshot snapshot;
  snapshot.name = made.name;
  snapshot.parts[0] = PartMark{"v", 1, made.modified_s, true};
  snapshot.state = SnapshotState::complete;
  snapshot.facts.emplace();
  if (made.created_at != nullptr) snapshot.facts->created_at = made.created_at;
  snapshot.facts->step = made.step;
  if (made.session != nullptr) snapshot.facts->session_id = made.session;
  return snapshot;
}

/// The names, the newest first, the same whatever order they came in.
std::string ordered(const std::vector<Made>& made) {
  std::vector<PlacedSnapshot> snapshots;
  for (const Made& one : made) snapshots.push_back(placed(one));
  std::string first;
  for (std::size_t turn = 0; turn < snapshots.size(); ++turn) {
    std::rotate(snapshots.begin(), snapshots.begin() + 1, snapshots.end());
    auto sorted = snapshots;
    sort_newest_first(sorted);
    std::string names;
    for (const PlacedSnapshot& snapshot : sorted) names += snapshot.name;
    if (turn == 0) first = names;
    CHECK(names == first);
  }
  return first;
}

}  // namespace

TEST_CASE("sort_newest_first: within a session the step decides, whatever a clock said") {
  CHECK(ordered({{"a", "2026-01-01T10:00:00Z", 100, "run"},
                 {"b", "2026-01-01T09:00:00Z", 200, "run"},
                 {"c", "2026-01-01T11:00:00Z", 50, "run"}}) == "bac");
}

TEST_CASE("sort_newest_first: sessions follow one another by their latest time") {
  // By pairs alone this would go round in a circle: a < c by step, c < b and b < a by time.
  CHECK(ordered({{"a", "2026-01-01T10:00:00Z", 1, "one"},
                 {"b", "2026-01-01T07:00:00Z", 9, "two"},
                 {"c", "2026-01-01T05:00:00Z", 2, "one"}}) == "cab");
}

TEST_CASE("sort_newest_first: without a session the time decides, then step, then name") {
  CHECK(ordered({{"a", "2026-01-01T10:00:00Z", 900, nullptr},
                 {"b", "2026-01-01T11:00:00Z", 1, nullptr},
                 {"c", "2026-01-01T12:00:00+02:00", 901, nullptr}}) == "bca");
  CHECK(ordered({{"a2", "2026-01-01T10:00:00Z", {}, nullptr},
                 {"a1", "2026-01-01T10:00:00Z", {}, nullptr}}) == "a2a1");
}

TEST_CASE("sort_newest_first: a session of which one has no step goes by time") {
  CHECK(ordered({{"a", "2026-01-01T10:00:00Z", 100, "run"},
                 {"b", "2026-01-01T11:00:00Z", {}, "run"},
                 {"c", "2026-01-01T12:00:00Z", 50, "run"}}) == "cba");
}

TEST_CASE("sort_newest_first: a manifest without a time, or with none, counts by its file's") {
  CHECK(ordered({{"a", nullptr, {}, nullptr, 1'700'000'000},
                 {"b", "yesterday", {}, nullptr, 1'800'000'000},
                 {"c", "2026-01-01T00:00:00Z", {}, nullptr, 0}}) == "bca");
}

TEST_CASE("read_facts: what a list shows, and no more of it than fits") {
  Manifest manifest;
  manifest.size_bytes = 7;
  manifest.extra = R"({"session_id": "s\u00e9", "stage_at_snapshot": null})";
  ManifestFacts facts = read_facts(format_manifest(manifest), "m");
  CHECK(facts.session_id == "s\xc3\xa9");
  CHECK_FALSE(facts.stage);
  CHECK(facts.size_bytes == 7);
  manifest.extra = R"({"session_id": 12, "stage_at_snapshot": ")" + std::string(9999, 'x') + "\"}";
  facts = read_facts(format_manifest(manifest), "m");
  CHECK(facts.session_id == "12");
  CHECK(facts.stage->size() == 256);
  CHECK(error_from([] { read_facts("{}", "m"); }).reason == "manifest-invalid");
}

TEST_CASE("parse_age: a number and a unit") {
  using std::chrono::seconds;
  CHECK(parse_age("90s") == seconds(90));
  CHECK(parse_age("15m") == seconds(900));
  CHECK(parse_age("12h") == seconds(43'200));
  CHECK(parse_age("2d") == seconds(172'800));
  CHECK(parse_age("1w") == seconds(604'800));
  for (const char* text :
       {"", "d", "90", "-1d", "1.5h", "1y", "1 d", "99999999999999999999s", "9999999w"}) {
    INFO(text);
    CHECK_FALSE(parse_age(text));
  }
}
