#include "exchange/range_set.hpp"

#include <algorithm>
#include <iterator>

namespace mad {

void RangeSet::add(const ByteRange& range) {
  if (range.length == 0) return;
  std::uint64_t begin = range.offset;
  std::uint64_t end = range.end();
  auto it = ends_.upper_bound(begin);
  if (it != ends_.begin() && std::prev(it)->second >= begin) --it;
  while (it != ends_.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second);
    it = ends_.erase(it);
  }
  ends_.emplace(begin, end);
}

void RangeSet::remove(const ByteRange& range) {
  if (range.length == 0) return;
  auto it = ends_.upper_bound(range.offset);
  if (it != ends_.begin() && std::prev(it)->second > range.offset) --it;
  while (it != ends_.end() && it->first < range.end()) {
    const auto [begin, end] = *it;
    it = ends_.erase(it);
    if (begin < range.offset) ends_.emplace(begin, range.offset);
    if (end > range.end()) ends_.emplace(range.end(), end);
  }
}

std::uint64_t RangeSet::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [begin, end] : ends_) sum += end - begin;
  return sum;
}

bool RangeSet::intersects(const ByteRange& range) const {
  const auto it = ends_.lower_bound(range.end());
  return range.length != 0 && it != ends_.begin() && std::prev(it)->second > range.offset;
}

std::uint64_t RangeSet::run_end(std::uint64_t from) const {
  const auto it = ends_.upper_bound(from);
  return it == ends_.begin() ? from : std::max(from, std::prev(it)->second);
}

std::vector<ByteRange> RangeSet::ranges() const {
  std::vector<ByteRange> found;
  for (const auto& [begin, end] : ends_) found.push_back({begin, end - begin});
  return found;
}

std::vector<ByteRange> RangeSet::gaps(std::uint64_t size_bytes) const {
  std::vector<ByteRange> found;
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ends_) {
    if (begin >= size_bytes) break;
    if (begin > at) found.push_back({at, begin - at});
    at = end;
  }
  if (at < size_bytes) found.push_back({at, size_bytes - at});
  return found;
}

}  // namespace mad
