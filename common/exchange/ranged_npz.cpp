#include "exchange/ranged_npz.hpp"

namespace mad {

RangedFigures read_npz(const RangedSource& source, RangedNpz& npz, Progress& progress) {
  const RangePlan& plan = npz.plan();
  RangedFigures figures;
  figures.connections = plan.connections;
  for (auto ranges = npz.missing(); !ranges.empty(); ranges = npz.missing()) {
    progress.restart(source.pinned.size_bytes);
    std::uint64_t present = *source.pinned.size_bytes;
    for (const ByteRange& range : ranges) {
      present -= range.length;
      figures.ranges += (range.length + plan.part_bytes - 1) / plan.part_bytes;
    }
    progress.add(present);
    figures.outcome = read_ranges(source, ranges, plan, npz, progress);
    if (figures.outcome != RangeOutcome::complete) break;
  }
  return figures;
}

}  // namespace mad
