#pragma once

#include <cstdint>
#include <vector>

#include "hash/sha256.hpp"

namespace mad {

/// The digest of the whole stream, of each consecutive `outer_bytes` of it and of each
/// consecutive `inner_bytes` (the last ones shorter), in one pass.
///
/// What begins an outer piece begins an inner one, too, and is digested once for both.
class NestedSha256 {
 public:
  /// Both positive multiples of 64; `outer_bytes` is one of `inner_bytes`.
  NestedSha256(std::uint64_t inner_bytes, std::uint64_t outer_bytes);

  void update(Bytes bytes);
  /// Of the pieces that are complete so far, in order; after finish(), of all.
  const std::vector<Digest>& inner() const { return inner_; }
  const std::vector<Digest>& outer() const { return outer_; }
  /// Of the whole; the object is then spent.
  Digest finish();

  std::uint64_t inner_bytes() const { return inner_bytes_; }
  std::uint64_t outer_bytes() const { return outer_bytes_; }
  std::uint64_t length_bytes() const { return whole_.length_bytes(); }

 private:
  bool begins_outer() const { return in_outer_.length_bytes() < inner_bytes_; }
  std::uint64_t room_in_inner() const { return inner_bytes_ - length_bytes() % inner_bytes_; }
  void end_inner();
  void end_outer();

  std::uint64_t inner_bytes_;
  std::uint64_t outer_bytes_;
  Sha256 whole_;
  Sha256 in_outer_;
  /// Nothing in it where in_outer_ has the same bytes.
  Sha256 in_inner_;
  std::vector<Digest> inner_;
  std::vector<Digest> outer_;
};

}  // namespace mad
