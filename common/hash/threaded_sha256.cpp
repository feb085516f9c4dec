#include "hash/threaded_sha256.hpp"

#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "base/processors.hpp"
#include "base/thread.hpp"
#include "io/bounded_queue.hpp"

namespace mad {
namespace {

/// Found in a second-level cache by who touches it next.
constexpr std::size_t k_buffer_bytes = std::size_t{256} << 10U;
constexpr std::size_t k_buffers = 16;
/// So many waiting say that the hasher is behind.
constexpr std::size_t k_behind = k_buffers / 2;

struct Buffer {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t size = 0;
  /// Whether the chunk that it is a part of is digested by the hasher.
  bool chunk_too = true;
};

}  // namespace

struct ThreadedSha256::State {
  State(std::uint64_t chunk_length, Producer producer) : chunk_bytes(chunk_length) {
    if (chunk_bytes > 0) chunked.emplace(chunk_bytes);
    helps = producer == Producer::helps && chunk_bytes > 0 && chunk_bytes % k_buffer_bytes == 0 &&
            usable_processors() > 1;
  }

  void run() noexcept {
    try {
      while (auto buffer = full.pop()) hash(std::move(*buffer));
      conclude();
    } catch (...) {
      failure = std::current_exception();
      empty.close();
    }
  }

  void hash(Buffer buffer) {
    const Bytes bytes(buffer.bytes.get(), buffer.size);
    if (!chunked) {
      plain.update(bytes);
    } else if (buffer.chunk_too) {
      chunked->update(bytes);
    } else {
      chunked->update_whole_only(bytes);
    }
    buffer.size = 0;
    empty.push(std::move(buffer));
  }

  void conclude() {
    size_bytes = chunked ? chunked->length_bytes() : plain.length_bytes();
    sha256 = chunked ? chunked->finish() : plain.finish();
  }

  void take_buffer() {
    if (made < k_buffers) {
      current.bytes = std::make_unique_for_overwrite<std::byte[]>(k_buffer_bytes);
      ++made;
    } else if (auto used = empty.pop()) {
      current = std::move(*used);
    } else {
      end();
      std::rethrow_exception(failure);
    }
    if (!helps) return;
    if (position % chunk_bytes == 0) helping = full.size() >= k_behind;
    current.chunk_too = !helping;
  }

  void pass_current() {
    if (current.size > 0) {
      if (alone) {
        hash(std::move(current));
      } else {
        full.push(std::move(current));
      }
    }
    current = {};
  }

  /// Before the buffer goes: the bytes are hot.
  void help(Bytes bytes) {
    own_chunk.update(bytes);
    if (position % chunk_bytes == 0) end_own_chunk();
  }
  void end_own_chunk() {
    own_chunks.emplace_back((position - 1) / chunk_bytes, own_chunk.finish());
    own_chunk = Sha256();
  }

  void end() {
    full.close();
    if (thread.joinable()) thread.join();
  }

  void finish() {
    pass_current();
    if (own_chunk.length_bytes() > 0) end_own_chunk();
    end();
    if (alone) conclude();
    if (failure) std::rethrow_exception(failure);
    for (const auto& [index, digest] : own_chunks) chunked->set_chunk(index, digest);
  }

  std::uint64_t chunk_bytes;
  bool helps;
  // The hasher's.
  Sha256 plain;
  std::optional<ChunkedSha256> chunked;
  Digest sha256{};
  std::uint64_t size_bytes = 0;
  std::exception_ptr failure;
  // The producer's.
  Buffer current;
  std::size_t made = 0;
  std::uint64_t position = 0;
  bool helping = false;
  Sha256 own_chunk;
  std::vector<std::pair<std::size_t, Digest>> own_chunks;
  std::vector<Digest> no_chunks;

  BoundedQueue<Buffer> full{k_buffers};
  BoundedQueue<Buffer> empty{k_buffers};
  std::thread thread;
  /// There is no thread, and was none.
  bool alone = false;
};

ThreadedSha256::ThreadedSha256(std::uint64_t chunk_bytes, Producer producer)
    : state_(std::make_unique<State>(chunk_bytes, producer)) {
  state_->thread = try_thread([state = state_.get()] { state->run(); });
  state_->alone = !state_->thread.joinable();
}

ThreadedSha256::~ThreadedSha256() {
  state_->end();
}

MutableBytes ThreadedSha256::room() {
  State& s = *state_;
  if (!s.current.bytes) s.take_buffer();
  return MutableBytes(s.current.bytes.get(), k_buffer_bytes).subspan(s.current.size);
}

void ThreadedSha256::filled(std::size_t n) {
  State& s = *state_;
  const Bytes bytes(s.current.bytes.get() + s.current.size, n);
  s.position += n;
  s.current.size += n;
  if (!s.current.chunk_too) s.help(bytes);
  if (s.current.size == k_buffer_bytes) s.pass_current();
}

void ThreadedSha256::finish() {
  state_->finish();
}

const Digest& ThreadedSha256::sha256() const {
  return state_->sha256;
}

std::uint64_t ThreadedSha256::size_bytes() const {
  return state_->size_bytes;
}

const std::vector<Digest>& ThreadedSha256::chunks() const {
  return state_->chunked ? state_->chunked->chunks() : state_->no_chunks;
}

}  // namespace mad
