#pragma once

#include <cstdint>
#include <string>

#include "manifest/topology.hpp"

namespace mad {

/// What may stand for a state where its topology is asked for.
enum class TopologySource {
  directory,  ///< NODE/FIELD.npy
  npz,        ///< by its name or its first bytes
  text        ///< JSON, as `mad-manifest topology --json` writes it
};

/// Throws Error(not_found) where nothing is there whose name says npz, and what
/// open_regular throws.
TopologySource topology_source(const std::string& path);

/// Of a state directory.  Throws what StateTree throws.
Topology topology_of_directory(const std::string& path);

/// Of an open npz; throws what audit_npz throws.
Topology topology_of_npz(int npz, const std::string& path);

/// Of whichever of the three is at `path`: what --expect names.  Throws what the above and
/// parse_topology_json throw.
Topology read_topology(const std::string& path);

/// Larger text is refused: it may name a million arrays, and is held in memory.
inline constexpr std::size_t k_max_topology_bytes = std::size_t{16} << 20U;

}  // namespace mad
