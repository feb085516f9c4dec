#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/progress.hpp"
#include "exchange/range_set.hpp"
#include "exchange/rate_limit.hpp"
#include "transport/transport.hpp"

namespace mad {

/// What the user asks for; the rest is chosen by the object's size and the server's kind.
struct RangeWishes {
  std::optional<unsigned> connections;
  std::optional<std::uint64_t> part_bytes;
  std::optional<std::uint64_t> bytes_per_second;
  /// Capabilities::connections_a_processor.
  unsigned connections_a_processor = 2;
};

struct RangePlan {
  unsigned connections = 1;
  std::uint64_t part_bytes = 0;
  /// How many parts may be under way, or wait for one before them: above `connections`.
  std::size_t window = 2;
};

/// Where the parts are kept until their turn has come.
enum class PartsIn { memory, file };

/// An object up to this size is read by one request.
std::uint64_t one_request_bytes(const RangeWishes& wishes);

/// 2 to 8 connections, at most `connections_a_processor`, fewer where they would only share a slow
/// rate, and parts of 1 to 16 MiB, so that a large object keeps every connection busy and a part
/// lost costs little; in memory window × part_bytes is at most 36 MiB, unless wishes ask for more.
RangePlan plan_ranges(std::uint64_t size_bytes, const RangeWishes& wishes, PartsIn parts);

/// Who takes the parts of a ranged read.
class PartTarget {
 public:
  virtual ~PartTarget() = default;
  /// The next bytes of a part, at `offset` of the object.  `slot`, below RangePlan::window,
  /// is that part's alone until done() returns.  Several threads at once, one a slot.
  virtual void write(std::size_t slot, const ByteRange& part, std::uint64_t offset,
                     Bytes bytes) = 0;
  /// The part is whole.  In the order of the ranges, by the thread that called read_ranges().
  virtual void done(std::size_t slot, const ByteRange& part) = 0;
};

struct RangedSource {
  Transport& transport;
  const Url& url;
  /// Has a version and a size.
  const ObjectInfo& pinned;
  /// The one of the transport's TransportOptions.
  Stop& stop;
  /// None where it is null.
  RateLimit* limit = nullptr;
};

/// Reads `ranges` (in order, none empty, within the object) of one version by parts, over
/// `plan.connections` requests at a time, a thread each; the transport tries each part
/// again by itself.  Memory is what `target` keeps of `plan.window` parts.
///
/// The first part that fails for good, or that has another outcome than complete, ends the
/// others at once, and is what is told: its error is thrown (so is what `target` throws,
/// and Interrupted), its outcome returned.  No thread is left when this ends, and the
/// transport can be used again.
RangeOutcome read_ranges(const RangedSource& source, const std::vector<ByteRange>& ranges,
                         const RangePlan& plan, PartTarget& target, Progress& progress);

}  // namespace mad
