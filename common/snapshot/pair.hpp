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

 private:
  std::string prefix_;
};

/// Which of the two manifests is the npz's own.
enum class Owner { manifest, next, neither };

/// Decides by hashing `npz`, as little as is needed for it: a `.next` that is torn,
/// foreign or of another size needs no hash.  A manifest that matches wins.  Says
/// that it hashes (log_note).
Owner owner_of(int npz, std::uint64_t size_bytes, const std::optional<std::string>& manifest,
               const std::optional<std::string>& next, const PairNames& names);

}  // namespace mad
