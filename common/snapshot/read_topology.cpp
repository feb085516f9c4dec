#include "snapshot/read_topology.hpp"

#include <array>
#include <string_view>

#include "base/error.hpp"
#include "io/file.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/state_tree.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

bool is_named_npz(std::string_view path) {
  constexpr std::string_view k_suffix = ".npz";
  return path.size() >= k_suffix.size() && path.substr(path.size() - k_suffix.size()) == k_suffix;
}

}  // namespace

TopologySource topology_source(const std::string& path) {
  if (is_directory(path)) return TopologySource::directory;
  if (is_named_npz(path)) return TopologySource::npz;
  const Fd file = open_regular(path);
  std::array<std::byte, 2> magic{};
  pread_full(file.get(), magic, 0, path);
  return as_text(magic) == "PK" ? TopologySource::npz : TopologySource::text;
}

Topology topology_of_directory(const std::string& path) {
  Topology topology;
  const StateTree tree(path);
  for (const StateArray& array : tree.arrays()) {
    topology[array.key] = ArrayType{array.header.descr, array.header.shape};
  }
  return topology;
}

Topology topology_of_npz(int npz, const std::string& path) {
  const auto size_bytes = static_cast<std::uint64_t>(stat_fd(npz, path).st_size);
  return topology_of(audit_npz(npz, size_bytes, NpzLimits{}, printable(path)));
}

Topology read_topology(const std::string& path) {
  const TopologySource source = topology_source(path);
  if (source == TopologySource::directory) return topology_of_directory(path);
  const Fd file = open_regular(path);
  if (source == TopologySource::npz) return topology_of_npz(file.get(), path);
  return parse_topology_json(read_small_file(file.get(), k_max_topology_bytes, path),
                             printable(path));
}

}  // namespace mad
