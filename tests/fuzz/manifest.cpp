#include "manifest/manifest.hpp"

#include <optional>

#include "fuzz/fuzz.hpp"
#include "manifest/json_text.hpp"
#include "manifest/manifest_text.hpp"

// A manifest, read, written again, shown and compared.

namespace {

std::optional<mad::Manifest> read_manifest(std::string_view text) {
  std::optional<mad::Manifest> manifest;
  mad::fuzz::refuses([&] { manifest = mad::parse_manifest(text, "m.json"); });
  return manifest;
}

std::size_t count_differences(std::string_view a, std::string_view b) {
  std::size_t count = 0;
  mad::manifest_differences(a, b, [&](const mad::Difference& difference) {
    mad::fuzz::require(difference.a || difference.b, "a difference has a side");
    ++count;
  });
  return count;
}

}  // namespace

MAD_FUZZ_TARGET(manifest) {
  using mad::fuzz::require;
  const auto manifest = read_manifest(input);
  if (!manifest) return;
  const std::string text = mad::format_manifest(*manifest);
  const auto again = read_manifest(text);
  require(again.has_value(), "a manifest written again is one");
  require(again->sha256 == manifest->sha256 && again->size_bytes == manifest->size_bytes &&
              again->schema_version == manifest->schema_version && again->step == manifest->step &&
              again->created_at == manifest->created_at && again->extra == manifest->extra,
          "a manifest written again says the same");
  require(again->chunks.has_value() == manifest->chunks.has_value() &&
              (!again->chunks || again->chunks->digests == manifest->chunks->digests),
          "a manifest written again has the same chunks");
  require(again->members == manifest->members, "a manifest written again has the same table");
  require(mad::format_manifest(*again) == text, "what is written is written so again");
  require(count_differences(input, input) == 0, "a manifest does not differ from itself");
  require(count_differences(input, text) == count_differences(text, input),
          "differences are as many from either side");
  require(!mad::describe_manifest(input, "m.json").empty(), "a manifest is shown");
  const std::string upgraded = mad::upgrade_manifest(input, *manifest, "m.json");
  require(count_differences(input, upgraded) == 0 ||
              mad::upgrade_manifest(upgraded, *manifest, "m.json") == upgraded,
          "a manifest is upgraded once");
  const std::string set = mad::set_extra(manifest->extra, "stage_at_snapshot", "\"x\"");
  require(mad::find_json(set, {"stage_at_snapshot"}) == "\"x\"", "what is set is found");
}
