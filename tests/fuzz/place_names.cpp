#include <vector>

#include "fuzz/fuzz.hpp"
#include "retention/place.hpp"

// What is in a place: names that anybody may have given, and manifests that anybody may have
// written; whatever they say, there is one order.

MAD_FUZZ_TARGET(place_names) {
  using mad::fuzz::require;
  std::vector<mad::PlacedSnapshot> snapshots;
  while (!input.empty() && snapshots.size() < 8) {
    const std::string_view name = mad::fuzz::take_field(input);
    const std::string_view manifest = mad::fuzz::take_field(input);
    if (const auto part = mad::parse_part_name(name)) {
      require(part->npz + std::string(mad::suffix_of(part->part)) == name, "a name is its parts");
      require(!mad::parse_work_name(name), "what is a snapshot's is no writer's work");
    }
    if (mad::is_made_up_name(name)) {
      require(mad::parse_part_name(name).has_value(), "a name that was made up is an npz's");
    }
    mad::PlacedSnapshot& snapshot = snapshots.emplace_back();
    snapshot.name = name;
    mad::fuzz::refuses([&] { snapshot.facts = mad::read_facts(manifest, "m"); });
  }
  std::vector<mad::PlacedSnapshot> turned(snapshots.rbegin(), snapshots.rend());
  mad::sort_newest_first(snapshots);
  mad::sort_newest_first(turned);
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    require(snapshots[i].name == turned[i].name, "the order is total");
  }
}
