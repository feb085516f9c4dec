#include "snapshot/hashing_sink.hpp"

#include <utility>

namespace mad {

HashingSink::HashingSink(Sink& next, std::uint64_t chunk_bytes, Producer producer)
    : next_(next), chunk_bytes_(chunk_bytes), hash_(chunk_bytes, producer) {}

MutableBytes HashingSink::room() {
  room_ = hash_.room();
  if (held_.empty()) held_ = room_.first(0);
  return room_;
}

void HashingSink::filled(std::size_t n) {
  held_ = Bytes(held_.data(), held_.size() + n);
  const bool is_full = n == room_.size();
  hash_.filled(n);
  if (is_full) next_.write(std::exchange(held_, {}));
}

void HashingSink::finish() {
  if (!held_.empty()) next_.write(std::exchange(held_, {}));
  hash_.finish();
}

FileDigests HashingSink::digests() const {
  return {hash_.sha256(), hash_.size_bytes(), {chunk_bytes_, hash_.chunks()}};
}

}  // namespace mad
