#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "exchange/range_set.hpp"
#include "io/file.hpp"

namespace mad {

/// What a fetch by ranges writes, so that one that is killed has not worked for nothing.
///
/// Beside the destination: `.NAME.mad-partial`, the npz with gaps, and
/// `.NAME.mad-partial.parts`, whose first line says of what version of what object and
/// how long it is (a digest and a number: nothing secret), and each further line which
/// part is there.  A line follows its bytes without fsync: after a power loss it may
/// promise too much, therefore nothing is published that was not verified.
///
/// The exclusive flock on `.NAME.mad-partial` is held as long as this lives; only under it
/// is either file touched.  Both stay where parts are there, and else go with it.
class PartialFile {
 public:
  /// What an earlier fetch of the same `identity` (any text) and size left, else empty.
  /// Null where another fetch has it, or where something is in its place that is no
  /// regular file of this user's own.  Throws Error(io).
  static std::unique_ptr<PartialFile> open(const std::string& npz_path, const std::string& identity,
                                           std::uint64_t size_bytes);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const RangeSet& parts() const { return parts_; }
  /// The bytes of `part` are written.
  void add(const ByteRange& part);
  /// These, and no others, are there.
  void replace(const RangeSet& parts);
  int fd() const { return file_.get(); }
  /// For SnapshotPublisher::adopt.
  Temporary share() const;

 private:
  PartialFile(Fd directory, Fd file, const std::string& npz_path, const std::string& identity,
              std::uint64_t size_bytes);
  bool read_journal();
  void start_over();

  Fd directory_;
  Fd file_;
  Fd journal_;
  std::string name_;
  std::string subject_;
  std::string first_line_;
  std::uint64_t size_bytes_;
  std::uint64_t journal_bytes_ = 0;
  RangeSet parts_;
};

/// Removes what PartialFile left for `npz_path`, unless a fetch has it.  Never throws for
/// want of it.
void remove_partial(const std::string& npz_path) noexcept;

}  // namespace mad
