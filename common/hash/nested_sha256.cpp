#include "hash/nested_sha256.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>

namespace mad {

NestedSha256::NestedSha256(std::uint64_t inner_bytes, std::uint64_t outer_bytes)
    : inner_bytes_(inner_bytes), outer_bytes_(outer_bytes) {
  if (inner_bytes == 0 || inner_bytes % 64 != 0 || outer_bytes == 0 ||
      outer_bytes % inner_bytes != 0) {
    throw std::invalid_argument("NestedSha256: expected a multiple of 64 and a multiple of that");
  }
}

void NestedSha256::update(Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes now = bytes.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(room_in_inner(), bytes.size())));
    bytes = bytes.subspan(now.size());
    const std::array<Sha256*, 3> hashes = {&whole_, &in_outer_, &in_inner_};
    Sha256::update_same(std::span(hashes).first(begins_outer() ? 2 : 3), now);
    if (length_bytes() % inner_bytes_ == 0) end_inner();
    if (length_bytes() % outer_bytes_ == 0) end_outer();
  }
}

void NestedSha256::end_inner() {
  Sha256 ended = in_inner_.length_bytes() == 0 ? in_outer_ : in_inner_;
  inner_.push_back(ended.finish());
  in_inner_ = Sha256();
}

void NestedSha256::end_outer() {
  outer_.push_back(in_outer_.finish());
  in_outer_ = Sha256();
}

Digest NestedSha256::finish() {
  if (length_bytes() % inner_bytes_ != 0) end_inner();
  if (length_bytes() % outer_bytes_ != 0) end_outer();
  return whole_.finish();
}

}  // namespace mad
