#pragma once

#include <string>

#include "manifest/topology.hpp"

namespace mad {

/// The topology that --expect names: a state directory, an `.npz` (told by its first
/// bytes), or a JSON file as `mad-manifest topology --json` writes it.
///
/// Throws Error(not_found) where nothing is there, and what StateTree, audit_npz and
/// parse_topology_json throw.
Topology read_topology(const std::string& path);

}  // namespace mad
