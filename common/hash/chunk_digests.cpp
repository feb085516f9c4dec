#include "hash/chunk_digests.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "io/file.hpp"

namespace mad {
namespace {

/// Two of them stay in a second-level cache between reading and digesting.
constexpr std::size_t k_stride_bytes = std::size_t{128} << 10U;

/// Digests a file's chunks two at a time, so that their instructions interleave; whichever
/// thread is free takes the next two.
class FileDigests {
 public:
  FileDigests(int file, std::uint64_t size_bytes, std::uint64_t chunk_bytes,
              const std::function<void(std::uint64_t)>& progress, const std::string& subject)
      : file_(file),
        size_bytes_(size_bytes),
        chunk_bytes_(chunk_bytes),
        progress_(progress),
        subject_(subject),
        digests_(static_cast<std::size_t>((size_bytes + chunk_bytes - 1) / chunk_bytes)) {}

  std::vector<Digest> run(unsigned threads) {
    const std::size_t useful = (digests_.size() + 1) / 2;
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < std::min<std::size_t>(threads, useful); ++i) {
      others.emplace_back([this] { work(); });
    }
    work();
    for (std::thread& other : others) other.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(digests_);
  }

 private:
  /// What is left to read of a chunk.
  struct Cursor {
    std::uint64_t offset = 0;
    std::uint64_t left = 0;
    std::unique_ptr<std::byte[]> buffer =
        std::make_unique_for_overwrite<std::byte[]>(k_stride_bytes);
  };

  void work() noexcept {
    try {
      std::array<Cursor, 2> cursors;
      for (;;) {
        const std::size_t first = next_.fetch_add(2);
        if (first >= digests_.size()) return;
        digest_two(first, cursors);
      }
    } catch (...) {
      next_ = digests_.size();
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void digest_two(std::size_t first, std::array<Cursor, 2>& cursors) {
    std::array<Sha256, 2> hashes;
    for (std::size_t i = 0; i < 2; ++i) {
      cursors[i].offset = std::min(size_bytes_, (first + i) * chunk_bytes_);
      cursors[i].left = std::min(chunk_bytes_, size_bytes_ - cursors[i].offset);
    }
    for (;;) {
      const Bytes one = read(cursors[0]);
      const Bytes two = read(cursors[1]);
      if (one.empty() && two.empty()) break;
      Sha256::update_pair(hashes[0], one, hashes[1], two);
      const std::lock_guard lock(mutex_);
      progress_(one.size() + two.size());
    }
    digests_[first] = hashes[0].finish();
    if (first + 1 < digests_.size()) digests_[first + 1] = hashes[1].finish();
  }

  Bytes read(Cursor& cursor) const {
    const MutableBytes room(cursor.buffer.get(), static_cast<std::size_t>(std::min<std::uint64_t>(
                                                     k_stride_bytes, cursor.left)));
    if (room.empty()) return room;
    const std::size_t n = pread_full(file_, room, cursor.offset, subject_);
    cursor.offset += n;
    cursor.left = n < room.size() ? 0 : cursor.left - n;
    return room.first(n);
  }

  int file_;
  std::uint64_t size_bytes_;
  std::uint64_t chunk_bytes_;
  const std::function<void(std::uint64_t)>& progress_;
  const std::string& subject_;
  std::vector<Digest> digests_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

std::vector<Digest> digest_chunks(Bytes bytes, std::uint64_t chunk_bytes) {
  std::vector<Digest> digests;
  const auto next = [&] {
    const Bytes chunk =
        bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, bytes.size())));
    bytes = bytes.subspan(chunk.size());
    return chunk;
  };
  while (!bytes.empty()) {
    const Bytes one = next();
    const Bytes two = next();
    std::array<Sha256, 2> hashes;
    Sha256::update_pair(hashes[0], one, hashes[1], two);
    digests.push_back(hashes[0].finish());
    if (!two.empty()) digests.push_back(hashes[1].finish());
  }
  return digests;
}

std::vector<Digest> digest_file_chunks(int file, std::uint64_t size_bytes,
                                       std::uint64_t chunk_bytes, unsigned threads,
                                       const std::function<void(std::uint64_t)>& progress,
                                       const std::string& subject) {
  return FileDigests(file, size_bytes, chunk_bytes, progress, subject).run(threads);
}

ChunkDigester::ChunkDigester(std::uint64_t chunk_bytes, unsigned threads)
    : chunk_bytes_(chunk_bytes), jobs_(threads) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (auto job = jobs_.pop()) (*job)();
    });
  }
}

ChunkDigester::~ChunkDigester() {
  jobs_.close();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_future<std::vector<Digest>> ChunkDigester::digest(Bytes bytes) {
  Job job([bytes, chunk_bytes = chunk_bytes_] { return digest_chunks(bytes, chunk_bytes); });
  auto answer = job.get_future().share();
  jobs_.push(std::move(job));
  return answer;
}

}  // namespace mad
