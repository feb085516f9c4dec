#pragma once

#include <cstdint>
#include <memory>

#include "io/sink.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

/// Passes bytes on to another sink while a thread of its own hashes them: the slower
/// of the two sets the pace.  Holds a few buffers, whatever the length of the stream.
class HashingSink final : public Sink {
 public:
  /// `next` must outlive it.
  HashingSink(Sink& next, std::uint64_t chunk_bytes, ChunkDigests chunks = ChunkDigests::wanted);
  ~HashingSink() override;
  HashingSink(const HashingSink&) = delete;
  HashingSink& operator=(const HashingSink&) = delete;

  void write(Bytes bytes) override;
  /// Waits for the digests; does not call the other sink's finish().
  void finish() override;
  /// After finish().
  const FileDigests& digests() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
