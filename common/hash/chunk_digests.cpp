#include "hash/chunk_digests.hpp"

#include <fcntl.h>

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

/// All that is read at once stays in a second-level cache between reading and digesting.
constexpr std::size_t k_lanes_bytes = std::size_t{512} << 10U;

/// Digests a file's chunks; whichever thread is free takes the next few.
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
    // As many at once as there are, where all threads get some.
    at_once_ =
        std::clamp<std::size_t>((digests_.size() + threads - 1) / threads, 1, Sha256::lanes());
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads && i * at_once_ < digests_.size(); ++i) {
      others.emplace_back([this] { work(); });
    }
    work();
    for (std::thread& other : others) other.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(digests_);
  }

 private:
  void work() noexcept {
    try {
      RangeDigester digester;
      for (;;) {
        const std::size_t first = next_.fetch_add(at_once_);
        if (first >= digests_.size()) return;
        digest_some(digester, first);
      }
    } catch (...) {
      next_ = digests_.size();
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void digest_some(RangeDigester& digester, std::size_t first) {
    std::vector<ByteRange> ranges;
    for (std::size_t i = first; i < std::min(first + at_once_, digests_.size()); ++i) {
      ranges.push_back({i * chunk_bytes_, std::min(chunk_bytes_, size_bytes_ - i * chunk_bytes_)});
    }
    const auto found = digester.digest(file_, ranges, subject_, [this](std::size_t, Bytes bytes) {
      const std::lock_guard lock(mutex_);
      progress_(bytes.size());
    });
    std::copy(found.begin(), found.end(), digests_.begin() + static_cast<std::ptrdiff_t>(first));
  }

  int file_;
  std::uint64_t size_bytes_;
  std::uint64_t chunk_bytes_;
  const std::function<void(std::uint64_t)>& progress_;
  const std::string& subject_;
  std::vector<Digest> digests_;
  std::size_t at_once_ = 1;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

RangeDigester::RangeDigester()
    : buffer_(std::make_unique_for_overwrite<std::byte[]>(k_lanes_bytes)) {}

std::vector<Digest> RangeDigester::digest(int file, std::span<const ByteRange> ranges,
                                          const std::string& subject,
                                          const std::function<void(std::size_t, Bytes)>& seen) {
  const std::size_t stride = k_lanes_bytes / std::max<std::size_t>(ranges.size(), 2);
  std::vector<Sha256> hashes(ranges.size());
  // They are read in turns, which readahead does not take for a sequence.
  for (const ByteRange& range : ranges) {
    posix_fadvise(file, static_cast<off_t>(range.offset), static_cast<off_t>(range.length),
                  POSIX_FADV_WILLNEED);
  }
  for (std::uint64_t done = 0;; done += stride) {
    std::array<Sha256*, Sha256::k_most_lanes> active{};
    std::array<Bytes, Sha256::k_most_lanes> bytes{};
    std::size_t count = 0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (done >= ranges[i].length) continue;
      const MutableBytes room(
          buffer_.get() + count * stride,
          static_cast<std::size_t>(std::min<std::uint64_t>(stride, ranges[i].length - done)));
      const std::size_t n = pread_full(file, room, ranges[i].offset + done, subject);
      if (n == 0) continue;
      active[count] = &hashes[i];
      bytes[count] = room.first(n);
      seen(i, bytes[count]);
      ++count;
    }
    if (count == 0) break;
    Sha256::update_each(std::span(active).first(count), std::span(bytes).first(count));
  }
  std::vector<Digest> digests;
  digests.reserve(hashes.size());
  for (Sha256& hash : hashes) digests.push_back(hash.finish());
  return digests;
}

std::vector<Digest> digest_chunks(Bytes bytes, std::uint64_t chunk_bytes) {
  std::vector<Digest> digests;
  while (!bytes.empty()) {
    std::array<Sha256, Sha256::k_most_lanes> hashes;
    std::array<Sha256*, Sha256::k_most_lanes> chosen{};
    std::array<Bytes, Sha256::k_most_lanes> chunks{};
    std::size_t count = 0;
    for (; count < Sha256::lanes() && !bytes.empty(); ++count) {
      chosen[count] = &hashes[count];
      chunks[count] =
          bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, bytes.size())));
      bytes = bytes.subspan(chunks[count].size());
    }
    Sha256::update_each(std::span(chosen).first(count), std::span(chunks).first(count));
    for (std::size_t i = 0; i < count; ++i) digests.push_back(hashes[i].finish());
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
