#include "verify/expected_topology.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "io/file.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/state_tree.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_topology_bytes = std::size_t{16} << 20U;

bool is_directory(const std::string& path) {
  struct ::stat status {};
  if (stat(path.c_str(), &status) != 0) throw system_error("open", path, errno);
  return S_ISDIR(status.st_mode);
}

Topology topology_of(const StateTree& tree) {
  Topology topology;
  for (const StateArray& array : tree.arrays()) {
    topology[array.key] = ArrayType{array.header.descr, array.header.shape};
  }
  return topology;
}

bool is_zip(int file, const std::string& path) {
  std::array<std::byte, 2> magic{};
  return pread_full(file, magic, 0, path) == magic.size() && as_text(magic) == "PK";
}

}  // namespace

Topology read_topology(const std::string& path) {
  if (is_directory(path)) return topology_of(StateTree(path));
  const Fd file = open_regular(path);
  const std::string subject = printable(path);
  if (is_zip(file.get(), path)) {
    const auto size_bytes = static_cast<std::uint64_t>(stat_fd(file.get(), path).st_size);
    return topology_of(audit_npz(file.get(), size_bytes, NpzLimits{}, subject));
  }
  return parse_topology_json(read_small_file(file.get(), k_max_topology_bytes, path), subject);
}

}  // namespace mad
