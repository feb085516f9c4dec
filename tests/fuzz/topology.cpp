#include "manifest/topology.hpp"

#include <optional>

#include "fuzz/fuzz.hpp"
#include "manifest/manifest_text.hpp"

// A topology in JSON.

namespace {

std::optional<mad::Topology> read_topology_text(std::string_view text) {
  std::optional<mad::Topology> topology;
  mad::fuzz::refuses([&] { topology = mad::parse_topology_json(text, "t.json"); });
  return topology;
}

}  // namespace

MAD_FUZZ_TARGET(topology) {
  using mad::fuzz::require;
  std::string_view rest = input;
  const auto first = read_topology_text(mad::fuzz::take_field(rest));
  if (!first) return;
  const auto again = read_topology_text(mad::format_topology_json(*first));
  require(again == first, "a topology written again is the same");
  require(mad::topology_differences(*first, *first).empty(), "it does not differ from itself");
  static_cast<void>(mad::describe_topology(*first));
  const auto second = read_topology_text(rest);
  if (!second) return;
  std::size_t entries = 0;
  mad::topology_entries_that_differ(*first, *second, [&](const mad::Difference&) { ++entries; });
  const bool differ = !mad::topology_differences(*first, *second).empty();
  require(differ == (entries != 0), "lines and entries agree whether two differ");
  require(
      differ == mad::fuzz::refuses([&] { mad::require_same_topology(*first, *second, "state"); }),
      "two that differ are not taken for the same");
}
