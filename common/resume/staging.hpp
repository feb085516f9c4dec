#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/scratch.hpp"
#include "io/source.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// Where a bundle's npz goes until its seal has come: a file that nobody else finds.
class NpzStaging {
 public:
  virtual ~NpzStaging() = default;
  /// All that `part` still has.
  virtual void append(Source& part) = 0;
  /// The stream began again.
  virtual void restart() = 0;
  /// Open for reading, for checks and for unpacking.
  virtual int fd() const = 0;
  /// Makes it count, and returns its absolute path; empty where it is not kept.
  virtual std::string publish(const std::optional<std::string>& manifest,
                              const std::optional<std::string>& signature) = 0;
};

/// The temporary of a snapshot that is going to be published at `path`.
std::unique_ptr<NpzStaging> stage_for_path(const std::string& path, const PublishOptions& options);

/// The temporary of a snapshot `name` in a fresh directory, mode 0700, which appears as
/// `mad-resume-XXXXXXXX` in ${TMPDIR:-/tmp} when it is published.
std::unique_ptr<NpzStaging> stage_in_fresh_directory(const std::string& name,
                                                     const PublishOptions& options);

/// A file without a name in `directory`, for a state that is only unpacked.
std::unique_ptr<NpzStaging> stage_unnamed(const std::string& directory);

/// Removes what runs that died left in those places.  What cannot be is let be.
void remove_dead_staging(const std::optional<std::string>& path, const PublishOptions& options);

}  // namespace mad
