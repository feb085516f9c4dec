#include "snapshot/sign.hpp"

#include "base/text.hpp"
#include "commands.hpp"
#include "io/atomic_file.hpp"
#include "manifest/manifest.hpp"
#include "operand.hpp"
#include "snapshot/read_topology.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// The npz whose manifest `path` is, or that `path` itself is; nothing for a file of another name.
std::optional<std::string> npz_of(const std::string& path) {
  const std::size_t suffix = k_manifest_suffix.size();
  if (path.size() > suffix && path.substr(path.size() - suffix) == k_manifest_suffix) {
    return path.substr(0, path.size() - suffix);
  }
  if (topology_source(path) == TopologySource::npz) return path;
  return std::nullopt;
}

/// A manifest that stands beside no npz: `FILE.sig`.
std::string sign_file(const std::string& path, const SigningKey& key,
                      const PublishOptions& options) {
  const std::string manifest = read_manifest(path).bytes;
  const Fd file = open_regular(path);
  std::string signature_path = path + ".sig";
  AtomicFile signature(signature_path, stat_fd(file.get(), path).st_mode & 0777U,
                       options.durability);
  signature.write(as_bytes(key.sign(as_bytes(manifest))));
  signature.finish();
  return signature_path;
}

}  // namespace

ExitCode sign_command(const ManifestOptions& options, Tool& tool) {
  PublishOptions publish;
  publish.durability = options.durability == "none" ? Durability::none : Durability::full;
  publish.lock_timeout_ms = static_cast<int>(options.lock_timeout_s * 1000);
  const SigningKey key = read_signing_key(options.key_path);
  confine(options, tool, {}, {options.file});
  const auto npz = npz_of(options.file);
  const std::string path =
      npz ? sign_manifest(*npz, key, publish) : sign_file(options.file, key, publish);
  put(path + '\n');
  tool.report.set("path", path);
  return ExitCode::ok;
}

}  // namespace mad
