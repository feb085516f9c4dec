#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/file.hpp"

namespace mad {

/// The names that one snapshot has in its directory.
struct PairNames {
  explicit PairNames(const std::string& npz_path);

  /// `name` as a message shows it: with the directory as the caller wrote it.
  std::string path(const std::string& name) const;

  std::string directory;
  std::string npz;
  std::string manifest;
  std::string next;
  std::string signature;
  std::string next_signature;

 private:
  std::string prefix_;
};

/// Which of the two manifests is the npz's own.
enum class Owner { manifest, next, neither };

/// Decides by hashing `npz`, as little as is needed for it: a `.next` that is torn or of
/// another size needs no hash.  Where both match, `.next` wins: a signature may have been
/// renamed for it already (pending.hpp).  Says that it hashes (log_note).
Owner owner_of(int npz, std::uint64_t size_bytes, const std::optional<std::string>& manifest,
               const std::optional<std::string>& next, const PairNames& names);

/// unlinkat, where a name that is not there is as good, and renameat.  Throw Error(io).
void unlink_name(int directory, const PairNames& names, const std::string& name);
void rename_name(int directory, const PairNames& names, const std::string& from,
                 const std::string& to);

}  // namespace mad
