#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hash/sha256.hpp"
#include "io/fd.hpp"

namespace mad {

/// Whether the thread that brings the bytes may digest chunks as well.
enum class Producer {
  only_fills,
  /// It does where the hasher is behind: for producers that would otherwise wait, on a
  /// machine that has nothing better to do.
  helps,
};

/// The digests of a stream, of the whole and of each chunk, made by a thread of its own
/// while another one fills the buffers, which go round: memory is bounded.  Where no thread can be
/// started, by the one that fills them.
class ThreadedSha256 {
 public:
  /// No chunks where `chunk_bytes` is 0; else as ChunkedSha256.
  explicit ThreadedSha256(std::uint64_t chunk_bytes, Producer producer = Producer::only_fills);
  /// Ends the thread, wherever it is.
  ~ThreadedSha256();
  ThreadedSha256(const ThreadedSha256&) = delete;
  ThreadedSha256& operator=(const ThreadedSha256&) = delete;

  /// At least one byte of room for the next bytes of the stream, waited for.
  MutableBytes room();
  /// The next `n` bytes are in room().  They stay readable until the next call of it.
  void filled(std::size_t n);
  /// Nothing more comes: waits, and throws what the thread met.
  void finish();

  /// After finish().
  const Digest& sha256() const;
  std::uint64_t size_bytes() const;
  const std::vector<Digest>& chunks() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
