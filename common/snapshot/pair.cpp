#include "snapshot/pair.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error.hpp"
#include "base/log.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

std::optional<Manifest> parse_if_whole(const std::optional<std::string>& text,
                                       const std::string& subject) {
  if (!text) return std::nullopt;
  try {
    return parse_manifest(*text, subject);
  } catch (const Error& error) {
    log_verbose(error.what());
    return std::nullopt;
  }
}

}  // namespace

PairNames::PairNames(const std::string& npz_path) {
  const SplitPath parts = split_path(npz_path);
  directory = parts.directory;
  npz = parts.name;
  manifest = npz + std::string(k_manifest_suffix);
  next = npz + std::string(k_next_suffix);
  signature = npz + std::string(k_signature_suffix);
  next_signature = npz + std::string(k_next_signature_suffix);
  prefix_ = npz_path.substr(0, npz_path.size() - npz.size());
}

std::string PairNames::path(const std::string& name) const {
  return prefix_ + name;
}

Owner owner_of(int npz, std::uint64_t size_bytes, const std::optional<std::string>& manifest,
               const std::optional<std::string>& next, const PairNames& names) {
  const auto waiting = parse_if_whole(next, names.path(names.next));
  if (!waiting) return Owner::manifest;
  if (waiting->size_bytes && *waiting->size_bytes != size_bytes) return Owner::manifest;
  const std::string subject = names.path(names.npz);
  log_note(printable(subject) +
           ": a writer was interrupted; hashing the file to find the manifest that is its own");
  const Digest digest = digest_file(npz, subject, subject).sha256;
  if (waiting->sha256 == digest) return Owner::next;
  const auto present = parse_if_whole(manifest, names.path(names.manifest));
  return present && present->sha256 == digest ? Owner::manifest : Owner::neither;
}

void unlink_name(int directory, const PairNames& names, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) {
    throw output_error("remove", names.path(name), errno);
  }
}

void rename_name(int directory, const PairNames& names, const std::string& from,
                 const std::string& to) {
  if (renameat(directory, from.c_str(), directory, to.c_str()) != 0) {
    throw output_error("rename " + printable(from) + " to", names.path(to), errno);
  }
}

}  // namespace mad
