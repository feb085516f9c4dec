#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "manifest/topology.hpp"

namespace mad {

/// A manifest as a table for people; `bytes` is what parse_manifest accepts.
/// Everything from outside is made printable.
std::string describe_manifest(std::string_view bytes, const std::string& subject);

/// `ball/pos  <f8  (2,)`, a line an array, in columns.
std::string describe_topology(const Topology& topology);

/// What two things say differently under one key; nothing where one says nothing.
/// The texts are JSON as it stood there; the key is cut after 300 bytes.
struct Difference {
  std::string_view key;
  std::optional<std::string_view> a;
  std::optional<std::string_view> b;
};

/// Is told of one difference after the other, because there may be a million; each is
/// gone after the call.
using DifferenceVisitor = std::function<void(const Difference&)>;

/// Of two manifests that parse_manifest accepts, in the order of the first's keys.
/// Objects are gone into (`extra.cluster.name`), the order of their keys does not
/// count; digests of chunks come as one entry, `chunks.digests`, that tells how
/// many differ and where the first does; members are compared by their name
/// (`members.ball/pos.crc32`).  Takes 28 bytes of memory a key, 32 a member.
void manifest_differences(std::string_view a, std::string_view b, const DifferenceVisitor& each);

/// The arrays that differ, each as `{"dtype": …, "shape": …}`, sorted; `_meta` is left out.
void topology_entries_that_differ(const Topology& a, const Topology& b,
                                  const DifferenceVisitor& each);

}  // namespace mad
