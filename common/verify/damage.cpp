#include "verify/damage.hpp"

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "hash/crc32.hpp"
#include "io/file.hpp"
#include "snapshot/snapshot.hpp"
#include "verify/damage_report.hpp"

namespace mad {
namespace {

Witness witness_of(const Manifest& manifest, const std::string& path) {
  Witness witness;
  witness.path = path;
  witness.sha256 = manifest.sha256;
  witness.size_bytes = manifest.size_bytes;
  witness.step = manifest.step;
  witness.chunks = manifest.chunks;
  return witness;
}

/// What stands under the name of a manifest; never throws for what it holds.
struct NeighbourManifest {
  bool is_there = false;
  std::optional<Manifest> manifest;
};

NeighbourManifest read_neighbour(const std::string& path) {
  NeighbourManifest neighbour;
  try {
    const Fd file = open_regular(path);
    neighbour.is_there = true;
    neighbour.manifest =
        parse_manifest(read_small_file(file.get(), k_max_manifest_bytes, path), printable(path));
    // Held while the npz is read: only what vouches for bytes.
    neighbour.manifest->members.reset();
    neighbour.manifest->extra.clear();
  } catch (const Error& error) {
    log_verbose(error.what());
  }
  return neighbour;
}

/// The CRC-32 of an array against what its records give.
std::string crc_problem(const ArrayRecord& record, const ArrayEvidence& evidence) {
  if (!record.crc32) return "no record gives its CRC-32";
  if (*record.crc32 == evidence.crc32) return {};
  if (record.local_crc32 == evidence.crc32) {
    return "its bytes fit its local header (CRC-32 " + format_crc32(evidence.crc32) +
           "), not the directory (" + format_crc32(*record.crc32) + ")";
  }
  return "CRC-32: expected " + format_crc32(*record.crc32) + ", found " +
         format_crc32(evidence.crc32);
}

/// `promise` is the manifest whose digests count, where there is one.
ExaminedArray examine(const ArrayRecord& record, const ArrayEvidence& evidence,
                      std::uint64_t size_bytes, const Witness* promise) {
  ExaminedArray array;
  array.name = record.name;
  array.bytes = {record.data_offset, record.end_byte()};
  array.method = record.method;
  array.size_bytes = record.size_bytes;
  array.crc32 = evidence.crc32;
  if (!evidence.complete && record.end_byte() > size_bytes) {
    const std::uint64_t there = size_bytes - std::min(size_bytes, record.data_offset);
    array.state = ArrayState::lost;
    array.detail = std::to_string(there) + " of its " + std::to_string(record.packed_bytes) +
                   " bytes are there";
    return array;
  }
  const std::string crc = crc_problem(record, evidence);
  // The directory may be the only part that is wrong.
  const bool crc_fits = crc.empty() || record.local_crc32 == evidence.crc32;
  const bool vouched =
      promise != nullptr &&
      ((record.named_by_header && promise->vouches_for({record.first_byte, record.end_byte()})) ||
       (record.named_by_table && promise->vouches_for(array.bytes)));
  const bool named = !record.name_in_doubt || record.named_by_table;
  if (evidence.sound && crc_fits && vouched) {
    array.state = ArrayState::proven;
    array.detail = record.problem;
  } else if (evidence.sound && crc.empty() && named) {
    array.state = ArrayState::consistent;
    array.detail = record.problem;
  } else {
    array.state = ArrayState::damaged;
    array.detail = !evidence.problem.empty()           ? evidence.problem
                   : evidence.complete && !crc.empty() ? crc
                                                       : record.problem;
  }
  return array;
}

class Examination {
 public:
  explicit Examination(const Refusal& refusal) : refusal_(refusal) {}

  Damage run() {
    gather_witnesses();
    const MemberTable* table = nullptr;
    std::optional<std::uint64_t> promised_bytes;
    if (refusal_.manifest != nullptr) {
      promised_bytes = refusal_.manifest->size_bytes;
      if (refusal_.manifest->members) table = &*refusal_.manifest->members;
    }
    const ArchiveLayout layout =
        read_layout(refusal_.npz, refusal_.size_bytes, promised_bytes, table);
    const Evidence evidence = gather_evidence(refusal_.npz, refusal_.size_bytes, layout, witnesses_,
                                              refusal_.max_bytes, refusal_.subject);
    Damage damage;
    damage.arrays_from = layout.source;
    damage.more_arrays = layout.more_arrays;
    const Witness trusted = trusted_whole();
    const Witness* promise = refusal_.trusted_sha256 ? &trusted : promising();
    damage.arrays.reserve(layout.arrays.size());
    for (std::size_t i = 0; i < layout.arrays.size(); ++i) {
      damage.arrays.push_back(
          examine(layout.arrays[i], evidence.arrays[i], refusal_.size_bytes, promise));
    }
    report_damage(refusal_, layout, evidence, witnesses_, neighbours_, damage);
    return damage;
  }

 private:
  /// The manifest that was taken comes first, those beside the npz behind it.
  void gather_witnesses() {
    if (refusal_.manifest != nullptr) {
      witnesses_.push_back(witness_of(*refusal_.manifest, refusal_.manifest_path));
    }
    const std::string own = refusal_.path + std::string(k_manifest_suffix);
    const std::string next = refusal_.path + std::string(k_next_suffix);
    for (const std::string& path : {own, next}) {
      NeighbourManifest neighbour = read_neighbour(path);
      if (path == next && neighbour.is_there) neighbours_.next = path;
      if (path == refusal_.manifest_path) continue;
      if (neighbour.manifest) {
        if (path == next) neighbours_.next_is_whole = true;
        const bool same =
            !witnesses_.empty() && witnesses_.front().sha256 == neighbour.manifest->sha256;
        if (!same) witnesses_.push_back(witness_of(*neighbour.manifest, path));
      }
    }
    if (refusal_.manifest_path == next) neighbours_.next_is_whole = true;
  }

  /// A manifest that contradicts itself promises nothing.
  const Witness* promising() const {
    if (refusal_.manifest == nullptr) return nullptr;
    if (refusal_.error && refusal_.error->reason == "digests-contradict") return nullptr;
    return &witnesses_.front();
  }

  /// With --sha256 the manifest's own digests are not trusted.
  Witness trusted_whole() const {
    Witness whole;
    whole.right_start = refusal_.sha256 && refusal_.trusted_sha256 == refusal_.sha256;
    return whole;
  }

  const Refusal& refusal_;
  std::vector<Witness> witnesses_;
  Neighbours neighbours_;
};

}  // namespace

std::string_view name_of(ArrayState state) {
  constexpr std::array<std::string_view, 4> k_names = {"proven", "consistent", "damaged", "lost"};
  return k_names[static_cast<std::size_t>(state)];
}

std::uint64_t Damage::count(ArrayState state) const {
  return static_cast<std::uint64_t>(
      std::count_if(arrays.begin(), arrays.end(),
                    [state](const ExaminedArray& array) { return array.state == state; }));
}

Damage find_damage(const Refusal& refusal) {
  return Examination(refusal).run();
}

}  // namespace mad
