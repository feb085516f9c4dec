#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "manifest/topology.hpp"

namespace mad {

/// A manifest as it stands in a file, accepted by parse_manifest.
struct ManifestText {
  std::string bytes;
  /// The file it came from.
  std::string path;
};

/// Of a manifest, or of an npz (by its name or first bytes), whose own is found.
ManifestText read_manifest(const std::string& path);

/// What a comparison can know of an operand.
struct Operand {
  std::optional<ManifestText> manifest;
  std::optional<Topology> topology;
};

/// A manifest, an npz (with its manifest, where there is one), a topology in JSON, or a
/// state directory.
Operand read_operand(const std::string& path);

/// `text` to standard output, exactly; what could steer a terminal is shown as \xNN on one.
void put(std::string_view text);

}  // namespace mad
