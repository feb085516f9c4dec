#include "snapshot/sign.hpp"

#include "base/error.hpp"
#include "io/atomic_file.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/pending.hpp"

namespace mad {

std::string sign_manifest(const std::string& npz_path, const SigningKey& key,
                          const PublishOptions& options) {
  const PairNames names(npz_path);
  const Fd directory = open_directory(names.directory);
  lock_directory(directory.get(), LockMode::exclusive, options.lock_timeout_ms, names.directory);
  recover_locked(directory.get(), names, options.durability);
  const std::string subject = names.path(names.manifest);
  const Fd file = open_regular_at(directory.get(), names.manifest, subject);
  const std::string manifest = read_small_file(file.get(), k_max_manifest_bytes, subject);
  parse_manifest(manifest, printable(subject));
  const mode_t own_mode = stat_fd(file.get(), subject).st_mode & 0777U;
  std::string path = names.path(names.signature);
  AtomicFile signature(path, options.mode.value_or(own_mode), options.durability);
  signature.write(as_bytes(key.sign(as_bytes(manifest))));
  signature.finish();
  return path;
}

void replace_manifest(int directory, const std::string& npz_path, const std::string& manifest,
                      mode_t mode, Durability durability) {
  const PairNames names(npz_path);
  PendingManifest pending(directory, names, durability);
  pending.prepare(manifest, std::nullopt, mode);
  pending.keep();
  pending.complete();
  pending.settle();
}

}  // namespace mad
