#include "snapshot/hashing_sink.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "io/bounded_queue.hpp"

namespace mad {
namespace {

constexpr std::size_t k_buffer_bytes = std::size_t{512} << 10U;
constexpr std::size_t k_buffers = 8;

struct Buffer {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t size = 0;
};

}  // namespace

struct HashingSink::State {
  State(Sink& sink, std::uint64_t chunk_bytes, ChunkDigests chunks)
      : next(sink), hash(chunk_bytes, chunks) {
    digests.chunks.chunk_bytes = chunk_bytes;
  }

  void run() noexcept {
    try {
      while (auto buffer = full.pop()) {
        hash.update(Bytes(buffer->bytes.get(), buffer->size));
        buffer->size = 0;
        empty.push(std::move(*buffer));
      }
      digests.size_bytes = hash.length_bytes();
      digests.sha256 = hash.finish();
      digests.chunks.digests = hash.chunks();
    } catch (...) {
      failure = std::current_exception();
      empty.close();
    }
  }

  /// A buffer that the hasher is done with; a new one only while there are few.
  void take_buffer() {
    if (made < k_buffers) {
      current.bytes = std::make_unique_for_overwrite<std::byte[]>(k_buffer_bytes);
      current.size = 0;
      ++made;
    } else if (auto used = empty.pop()) {
      current = std::move(*used);
    }
  }

  void pass_current() {
    if (current.bytes && current.size > 0) full.push(std::move(current));
    current = {};
  }

  void end() {
    full.close();
    if (thread.joinable()) thread.join();
  }

  Sink& next;
  ChunkedSha256 hash;
  FileDigests digests;
  BoundedQueue<Buffer> full{k_buffers};
  BoundedQueue<Buffer> empty{k_buffers};
  Buffer current;
  std::size_t made = 0;
  std::exception_ptr failure;
  std::thread thread;
};

HashingSink::HashingSink(Sink& next, std::uint64_t chunk_bytes, ChunkDigests chunks)
    : state_(std::make_unique<State>(next, chunk_bytes, chunks)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

HashingSink::~HashingSink() {
  state_->end();
}

void HashingSink::write(Bytes bytes) {
  State& s = *state_;
  for (Bytes rest = bytes; !rest.empty();) {
    if (!s.current.bytes) s.take_buffer();
    if (!s.current.bytes) break;  // the hasher failed; finish() says how
    const std::size_t n = std::min(rest.size(), k_buffer_bytes - s.current.size);
    std::memcpy(s.current.bytes.get() + s.current.size, rest.data(), n);
    s.current.size += n;
    rest = rest.subspan(n);
    if (s.current.size == k_buffer_bytes) s.pass_current();
  }
  s.next.write(bytes);
}

void HashingSink::finish() {
  state_->pass_current();
  state_->end();
  if (state_->failure) std::rethrow_exception(state_->failure);
}

const FileDigests& HashingSink::digests() const {
  return state_->digests;
}

}  // namespace mad
