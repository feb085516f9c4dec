#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/topology.hpp"

namespace mad {

/// A manifest as a table for people; `bytes` is what parse_manifest accepts.
/// Everything from outside is made printable.
std::string describe_manifest(std::string_view bytes, const std::string& subject);

/// `ball/pos  <f8  (2,)`, a line an array, in columns.
std::string describe_topology(const Topology& topology);

/// What two things say differently under one key; nothing where one says nothing.
/// The texts are JSON as it stood there, on one line; the key is cut after 300 bytes.
struct Difference {
  std::string key;
  std::optional<std::string> a;
  std::optional<std::string> b;
};

/// Of two manifests that parse_manifest accepts, in the order of the first's keys.
/// Objects are gone into (`extra.cluster.name`), the order of their keys does not
/// count; digests of chunks come as one entry, `chunks.digests`, that tells how
/// many differ and where the first does.
std::vector<Difference> manifest_differences(std::string_view a, std::string_view b);

/// The arrays that differ, each as `{"dtype": …, "shape": …}`; `_meta` is left out.
std::vector<Difference> topology_entries_that_differ(const Topology& a, const Topology& b);

}  // namespace mad
