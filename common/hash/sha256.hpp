#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/fd.hpp"

namespace mad {

/// A SHA-256 digest (FIPS 180-4).
using Digest = std::array<std::uint8_t, 32>;

/// 64 lower-case hex digits.
std::string to_hex(const Digest& digest);
/// Exactly 64 lower-case hex digits, or nothing.
std::optional<Digest> parse_hex_digest(std::string_view text);

/// The digest of one stream of bytes.
class Sha256 {
 public:
  Sha256();
  void update(Bytes bytes);
  /// Of everything so far; the object is then spent.
  Digest finish();

  std::uint64_t length_bytes() const { return length_bytes_; }

  static Digest of(Bytes bytes);
  /// The same bytes into up to three, which are at the same place in a block: with the SHA
  /// instructions two cost half as much again as one, for they share the message schedule.
  static void update_same(std::span<Sha256* const> hashes, Bytes bytes);
  /// Into each its own bytes, which are best of one length: so many at once that the
  /// instructions for one fill the latency of the others'.
  static void update_each(std::span<Sha256* const> hashes, std::span<const Bytes> bytes);
  /// The most that update_each() takes, and how many of them make it fastest here.
  static constexpr std::size_t k_most_lanes = 16;
  static std::size_t lanes();

 private:
  std::array<std::uint32_t, 8> state_;
  std::array<std::byte, 64> partial_{};
  std::uint64_t length_bytes_ = 0;
};

enum class ChunkDigests { wanted, unwanted };

/// The digest of the whole stream and of each consecutive `chunk_bytes` of it, the
/// last one shorter (a stream of length 0 has no chunk), in one pass.
///
/// Chunks begin on the whole's block boundaries, so that both digests go by update_same().
class ChunkedSha256 {
 public:
  /// `chunk_bytes` must be a positive multiple of 64.  Unwanted digests are not computed:
  /// chunks() stays empty.
  explicit ChunkedSha256(std::uint64_t chunk_bytes, ChunkDigests chunks = ChunkDigests::wanted);

  void update(Bytes bytes);
  /// The same, and leaves the digest of the chunk they belong to to somebody else, who
  /// brings it with set_chunk(); a chunk goes one way or the other, whole.
  void update_whole_only(Bytes bytes);
  void set_chunk(std::size_t index, const Digest& digest) { chunks_[index] = digest; }
  /// Digests of the chunks that are complete so far, in order; after finish(),
  /// of all.
  const std::vector<Digest>& chunks() const { return chunks_; }
  /// Of the whole; the object is then spent.
  Digest finish();

  std::uint64_t chunk_bytes() const { return chunk_bytes_; }
  std::uint64_t length_bytes() const { return whole_.length_bytes(); }

 private:
  void end_chunk();

  std::uint64_t room_in_chunk() const { return chunk_bytes_ - length_bytes() % chunk_bytes_; }

  std::uint64_t chunk_bytes_;
  ChunkDigests wish_;
  Sha256 whole_;
  Sha256 chunk_;
  std::vector<Digest> chunks_;
};

/// 4 MiB, doubled up to 16 MiB while the list of digests would pass 4,096
/// entries: what a manifest's `chunks.chunk_bytes` is for an npz of this size.
std::uint64_t chunk_bytes_for(std::uint64_t size_bytes);

}  // namespace mad
