#pragma once

#include <cstdint>

#include "hash/threaded_sha256.hpp"
#include "io/sink.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

/// Passes bytes on to another sink while a thread of its own hashes them: the slower
/// of the two sets the pace.  Holds a few buffers, whatever the length of the stream.
class HashingSink final : public BufferedSink {
 public:
  /// `next` must outlive it.  No digests of chunks where `chunk_bytes` is 0.
  HashingSink(Sink& next, std::uint64_t chunk_bytes, Producer producer = Producer::only_fills);

  MutableBytes room() override;
  void filled(std::size_t n) override;
  /// Waits for the digests; does not call the other sink's finish().
  void finish() override;
  /// After finish().
  FileDigests digests() const;

 private:
  Sink& next_;
  MutableBytes room_;
  /// Of the current buffer, what has not been passed on yet.
  Bytes held_;
  std::uint64_t chunk_bytes_;
  ThreadedSha256 hash_;
};

}  // namespace mad
