#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace mad {

/// The files, or objects, that a snapshot is made of.
enum class Part : std::size_t { npz, manifest, next, signature, next_signature };
inline constexpr std::size_t k_parts = 5;
inline constexpr std::array<Part, k_parts> k_every_part = {Part::npz, Part::manifest, Part::next,
                                                           Part::signature, Part::next_signature};

/// What follows the npz's name; nothing for the npz.
std::string_view suffix_of(Part part);

/// The npz's name, and which part of the snapshot a name stands for.
struct PartName {
  std::string npz;
  Part part = Part::npz;
};

/// Of a name in a place, which anybody may have put there.  Nothing where it is none of a
/// snapshot's: its npz ends with `.npz` and is in no further directory.
std::optional<PartName> parse_part_name(std::string_view name);

/// What a writer works on before it has its name, or a fetch has all of it.
enum class WorkKind { temporary, partial, partial_journal };
struct WorkName {
  std::string npz;
  WorkKind kind = WorkKind::temporary;
};

/// `.NPZ.mad-XXXXXXXX`, `.NPZ.mad-partial`, `.NPZ.mad-partial.parts`; nothing for any other.
std::optional<WorkName> parse_work_name(std::string_view name);

/// Whether an npz's name is one that these tools made up, `STEM-SEQUENCE-UTC.npz` or
/// `STEM-after-failed-UTC.npz`: nobody else's npz is called so.
bool is_made_up_name(std::string_view npz_name);

}  // namespace mad
