#include "fuzz/fuzz.hpp"
#include "hash/sha256.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/publish.hpp"

// What a dead writer left beside a snapshot: only a `.next` that is the npz's own becomes
// its manifest.

MAD_FUZZ_TARGET(next_manifest) {
  using mad::fuzz::require;
  const std::string npz = mad::fuzz::empty_directory() + "/sim.npz";
  const std::string_view npz_bytes = "abc";
  const std::string manifest(mad::fuzz::take_field(input));
  mad::fuzz::write_file(npz, npz_bytes);
  mad::fuzz::write_file(npz + ".manifest.json", manifest);
  mad::fuzz::write_file(npz + ".manifest.json.next", input);
  mad::PublishOptions options;
  options.durability = mad::Durability::none;
  mad::Recovery recovery = mad::Recovery::nothing;
  if (mad::fuzz::refuses([&] { recovery = mad::recover_snapshot(npz, options); })) return;
  require(mad::fuzz::read_file(npz) == npz_bytes, "the npz stays as it is");
  require(!mad::fuzz::exists(npz + ".manifest.json.next"), "nothing is left half-way");
  const std::string after = mad::fuzz::read_file(npz + ".manifest.json");
  require(recovery != mad::Recovery::nothing, "a .next is dealt with");
  if (recovery == mad::Recovery::discarded) {
    require(after == manifest, "a manifest is replaced by its own only");
    return;
  }
  require(after == input, "a .next is taken as it is");
  require(mad::parse_manifest(after, "m").sha256 == mad::Sha256::of(mad::as_bytes(npz_bytes)),
          "only the npz's own manifest is taken");
}
