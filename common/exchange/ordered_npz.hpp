#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "exchange/ranged_npz.hpp"
#include "io/fd.hpp"

namespace mad {

/// An npz by ranges for who can only take it in order: parts wait in memory for their turn,
/// in `plan.window` buffers that go round, made when they are first needed.
class OrderedNpz final : public RangedNpz {
 public:
  /// `take` gets each part in order, in the thread that reads.
  OrderedNpz(std::uint64_t size_bytes, const RangePlan& plan, std::function<void(Bytes)> take);

  const RangePlan& plan() const override { return plan_; }
  std::vector<ByteRange> missing() override;
  void write(std::size_t slot, const ByteRange& part, std::uint64_t offset, Bytes bytes) override;
  void done(std::size_t slot, const ByteRange& part) override;

 private:
  std::uint64_t size_bytes_;
  std::uint64_t taken_bytes_ = 0;
  RangePlan plan_;
  std::function<void(Bytes)> take_;
  std::vector<std::unique_ptr<std::byte[]>> buffers_;
};

}  // namespace mad
