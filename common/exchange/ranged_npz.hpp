#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "exchange/ranged_read.hpp"

namespace mad {

/// One version of an object, to be read by ranges.
struct RangedObject {
  std::uint64_t size_bytes = 0;
  /// The same text for the same version of the same object in another fetch; no secret.
  std::string identity;
};

/// An npz that comes by ranges.
class RangedNpz : public PartTarget {
 public:
  virtual const RangePlan& plan() const = 0;
  /// What has still to be read, in order; nothing once all of it is there and taken.  Not
  /// while parts are on their way.
  virtual std::vector<ByteRange> missing() = 0;
  /// What is there from an earlier fetch and has not turned out to be wrong.
  virtual std::uint64_t resumed_bytes() const { return 0; }
};

/// How a ranged read went.
struct RangedFigures {
  RangeOutcome outcome = RangeOutcome::complete;
  unsigned connections = 0;
  std::uint64_t ranges = 0;
};

/// Reads what `npz` misses until it misses nothing.  Throws as read_ranges does.
RangedFigures read_npz(const RangedSource& source, RangedNpz& npz, Progress& progress);

}  // namespace mad
