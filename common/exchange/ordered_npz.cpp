#include "exchange/ordered_npz.hpp"

#include <cstring>
#include <utility>

namespace mad {

OrderedNpz::OrderedNpz(std::uint64_t size_bytes, const RangePlan& plan,
                       std::function<void(Bytes)> take)
    : size_bytes_(size_bytes), plan_(plan), take_(std::move(take)), buffers_(plan.window) {}

std::vector<ByteRange> OrderedNpz::missing() {
  if (taken_bytes_ == size_bytes_) return {};
  return {{taken_bytes_, size_bytes_ - taken_bytes_}};
}

void OrderedNpz::write(std::size_t slot, const ByteRange& part, std::uint64_t offset, Bytes bytes) {
  if (!buffers_[slot]) {
    buffers_[slot] =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(plan_.part_bytes));
  }
  std::memcpy(buffers_[slot].get() + (offset - part.offset), bytes.data(), bytes.size());
}

void OrderedNpz::done(std::size_t slot, const ByteRange& part) {
  take_(Bytes(buffers_[slot].get(), static_cast<std::size_t>(part.length)));
  taken_bytes_ += part.length;
}

}  // namespace mad
