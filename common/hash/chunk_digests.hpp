#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "hash/sha256.hpp"
#include "io/bounded_queue.hpp"
#include "io/byte_range.hpp"
#include "io/fd.hpp"

namespace mad {

/// Whose a file is: what is this process's alone can be looked at where it is (FileMap), any
/// other is copied first.
enum class FileOf { this_process, anyone };

/// Digests ranges of a file, up to Sha256::lanes() of them at once, in half a megabyte of memory;
/// of a file of this process, up to four megabytes of the page cache count as its own besides.
class RangeDigester {
 public:
  explicit RangeDigester(FileOf file_of);
  /// One digest for each of at most Sha256::lanes() ranges.  Where the file is shorter, it is of
  /// what is there.  `seen` gets all that is read, of each range in order.  Errors name `subject`.
  std::vector<Digest> digest(int file, std::span<const ByteRange> ranges,
                             const std::string& subject,
                             const std::function<void(std::size_t range, Bytes bytes)>& seen);

 private:
  FileOf file_of_;
  std::unique_ptr<std::byte[]> buffer_;
};

/// SHA-256 of each consecutive `chunk_bytes` of `bytes`, the last one shorter; without the
/// digest of the whole, which alone keeps a second processor from helping.
std::vector<Digest> digest_chunks(Bytes bytes, std::uint64_t chunk_bytes);

/// The same of the first `size_bytes` of `file`, by `threads` threads with a RangeDigester
/// each.  Where the file is shorter, the digests are of what is there.  `progress` gets
/// counts of bytes, from one thread at a time.  Errors name `subject`.
std::vector<Digest> digest_file_chunks(int file, std::uint64_t size_bytes,
                                       std::uint64_t chunk_bytes, unsigned threads,
                                       const std::function<void(std::uint64_t)>& progress,
                                       const std::string& subject);

/// Threads that digest the chunks of buffers, any number of them at once; the caller's own where
/// none can be started.
class ChunkDigester {
 public:
  ChunkDigester(std::uint64_t chunk_bytes, unsigned threads);
  /// Ends when what was asked for is done.
  ~ChunkDigester();
  ChunkDigester(const ChunkDigester&) = delete;
  ChunkDigester& operator=(const ChunkDigester&) = delete;

  /// `bytes` begin with a chunk, and stay as they are until the answer is there.
  std::shared_future<std::vector<Digest>> digest(Bytes bytes);

 private:
  using Job = std::packaged_task<std::vector<Digest>()>;
  std::uint64_t chunk_bytes_;
  BoundedQueue<Job> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace mad
