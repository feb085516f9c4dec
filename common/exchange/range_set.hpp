#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "io/byte_range.hpp"

namespace mad {

/// Which bytes of an object are there.
class RangeSet {
 public:
  void add(const ByteRange& range);
  void remove(const ByteRange& range);
  bool empty() const { return ends_.empty(); }
  /// How many there are in all.
  std::uint64_t bytes() const;
  bool intersects(const ByteRange& range) const;
  /// Up to where nothing is missing from `from` on; `from` where that byte itself is.
  std::uint64_t run_end(std::uint64_t from) const;
  /// In order; neighbours are one.
  std::vector<ByteRange> ranges() const;
  /// What is missing of the first `size_bytes`, in order.
  std::vector<ByteRange> gaps(std::uint64_t size_bytes) const;

 private:
  /// By where they begin; apart from one another.
  std::map<std::uint64_t, std::uint64_t> ends_;
};

}  // namespace mad
