#include "verify/damage.hpp"

#include <algorithm>
#include <set>

#include "fuzz/fuzz.hpp"
#include "fuzz/npz.hpp"
#include "hash/crc32.hpp"
#include "npz/npz_reader.hpp"
#include "verify/damage_text.hpp"

// A broken archive behind a manifest that may be its own, or damaged too: what is called
// proven or consistent is so, and of a sound archive everything is.

namespace {

using mad::fuzz::require;

bool is_intact(const mad::ExaminedArray& array) {
  return array.state == mad::ArrayState::proven || array.state == mad::ArrayState::consistent;
}

/// Whether digests of the manifest itself vouch for all of [first, end).
bool is_promised(const mad::Manifest& manifest, std::string_view archive, mad::Extent range) {
  const auto digest = [&](std::uint64_t first, std::uint64_t length) {
    return mad::Sha256::of(mad::as_bytes(archive.substr(first, length)));
  };
  const std::uint64_t size_bytes = manifest.size_bytes.value_or(archive.size());
  if (range.end > std::min<std::uint64_t>(size_bytes, archive.size())) return false;
  if (digest(0, size_bytes) == manifest.sha256) return true;
  if (!manifest.chunks) return false;
  const std::uint64_t length = manifest.chunks->chunk_bytes;
  for (std::uint64_t i = range.first / length; i * length < range.end; ++i) {
    if (i >= manifest.chunks->digests.size()) return false;
    const std::uint64_t end = std::min((i + 1) * length, size_bytes);
    if (digest(i * length, end - i * length) != manifest.chunks->digests[i]) return false;
  }
  return true;
}

/// What a salvage would write of it.
void check_intact(const mad::ExaminedArray& array, const mad::Fd& file) {
  mad::NpzMember member;
  member.key = array.name;
  member.method = array.method;
  member.data_offset = array.bytes.first;
  member.compressed_bytes = array.bytes.end - array.bytes.first;
  member.size_bytes = array.size_bytes;
  member.crc32 = array.crc32;
  const std::string npy = mad::fuzz::read_rest(*mad::open_member(file.get(), member, "sim.npz"));
  const mad::NpyHeader header = mad::parse_npy_header(mad::as_bytes(npy), array.name);
  require(header.header_bytes + header.data_bytes == npy.size(), "an intact array is whole");
}

}  // namespace

MAD_FUZZ_TARGET(damage) {
  const std::string text(mad::fuzz::take_field(input));
  // More than this only takes longer.
  if (input.size() > (std::size_t{1} << 20U)) return;
  std::optional<mad::Manifest> manifest;
  mad::fuzz::refuses([&] { manifest = mad::parse_manifest(text, "m.json"); });
  const mad::Fd file = mad::fuzz::file_of(input);
  auto members = mad::fuzz::audited(file, input.size());
  if (members &&
      mad::fuzz::refuses([&] { mad::check_npz_data(file.get(), *members, "sim.npz"); })) {
    members.reset();
  }
  mad::Refusal refusal;
  refusal.npz = file.get();
  refusal.size_bytes = input.size();
  refusal.subject = "sim.npz";
  refusal.path = "/nonexistent/sim.npz";
  refusal.sha256 = mad::Sha256::of(mad::as_bytes(input));
  refusal.manifest = manifest ? &*manifest : nullptr;
  refusal.manifest_path = "m.json";
  refusal.structure_ok = members.has_value();
  refusal.error = mad::Error(mad::ExitCode::refused, "sha256-mismatch", "sim.npz", "x");

  const mad::Damage damage = mad::find_damage(refusal);
  require(!damage.findings.empty(), "something is said of a refused snapshot");
  for (const mad::ExaminedArray& array : damage.arrays) {
    require(array.bytes.first <= array.bytes.end, "an array ends behind its beginning");
    if (!is_intact(array)) continue;
    require(array.bytes.end <= input.size(), "an intact array is there");
    check_intact(array, file);
    if (array.state == mad::ArrayState::proven) {
      require(manifest && is_promised(*manifest, input, array.bytes), "what is proven is promised");
      require(mad::key_defect(array.name).empty(), "what is proven has a name");
    }
  }
  if (members) {
    // A table or a length that is another archive's may hide what the archive says.
    const bool plain = !manifest || (!manifest->members && !manifest->size_bytes);
    for (std::size_t i = 0; plain && i < members->size(); ++i) {
      require(damage.arrays[i].name == (*members)[i].key && is_intact(damage.arrays[i]),
              "of a sound archive every array is intact");
    }
  }
  require(!mad::format_damage(damage).empty() && !mad::format_damage_json(damage).empty(),
          "damage is told");
}
