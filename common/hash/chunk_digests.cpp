#include "hash/chunk_digests.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/thread.hpp"
#include "io/file.hpp"
#include "io/file_map.hpp"

namespace mad {
namespace {

/// All that is read at once stays in a second-level cache between reading and digesting.
constexpr std::size_t k_lanes_bytes = std::size_t{512} << 10U;
/// Of each range that is looked at in place: many pages a call.
constexpr std::size_t k_mapped_bytes = std::size_t{256} << 10U;

/// The next bytes of some of the ranges.
struct Step {
  void add(std::size_t range, Bytes next) {
    ranges[count] = range;
    bytes[count] = next;
    ++count;
  }
  explicit operator bool() const { return count > 0; }

  std::size_t count = 0;
  std::array<std::size_t, Sha256::k_most_lanes> ranges{};
  std::array<Bytes, Sha256::k_most_lanes> bytes{};
};

/// What is left of `range` after `done` of it, at most `most`.
ByteRange next_of(const ByteRange& range, std::uint64_t done, std::size_t most) {
  const std::uint64_t gone = std::min(done, range.length);
  return {range.offset + gone, std::min<std::uint64_t>(most, range.length - gone)};
}

/// From the first byte of them all to the last.
ByteRange hull(std::span<const ByteRange> ranges) {
  ByteRange all = ranges.front();
  for (const ByteRange& range : ranges) {
    const std::uint64_t end = std::max(all.end(), range.end());
    all.offset = std::min(all.offset, range.offset);
    all.length = end - all.offset;
  }
  return all;
}

struct RangesFile {
  int fd;
  FileOf file_of;
  const std::string& subject;
};

/// Goes through all ranges side by side.
class RangesReader {
 public:
  /// `buffer` is of k_lanes_bytes.
  RangesReader(const RangesFile& file, std::span<const ByteRange> ranges, std::byte* buffer)
      : file_(file), ranges_(ranges), buffer_(buffer) {
    if (ranges.empty()) return;
    // They are read in turns, which readahead does not take for a sequence.
    for (const ByteRange& range : ranges) {
      posix_fadvise(file.fd, static_cast<off_t>(range.offset), static_cast<off_t>(range.length),
                    POSIX_FADV_WILLNEED);
    }
    if (file.file_of == FileOf::this_process) map_.emplace(file.fd, hull(ranges));
  }

  /// Good until the next call; nothing at the end.
  Step next() {
    if (map_) {
      if (const auto step = look()) return *step;
      map_.reset();
    }
    return copy();
  }

 private:
  std::optional<Step> look() {
    if (done_ > 0) {
      for (const ByteRange& range : ranges_) {
        map_->unload(next_of(range, done_ - k_mapped_bytes, k_mapped_bytes));
      }
    }
    Step step;
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
      const ByteRange next = next_of(ranges_[i], done_, k_mapped_bytes);
      if (next.length == 0) continue;
      const auto bytes = map_->load(next);
      if (!bytes) return std::nullopt;
      step.add(i, *bytes);
    }
    done_ += k_mapped_bytes;
    return step;
  }

  Step copy() {
    const std::size_t share = k_lanes_bytes / std::max<std::size_t>(ranges_.size(), 2);
    Step step;
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
      const ByteRange next = next_of(ranges_[i], done_, share);
      const MutableBytes room(buffer_ + i * share, static_cast<std::size_t>(next.length));
      const std::size_t n = pread_full(file_.fd, room, next.offset, file_.subject);
      if (n > 0) step.add(i, room.first(n));
    }
    done_ += share;
    return step;
  }

  RangesFile file_;
  std::span<const ByteRange> ranges_;
  std::byte* buffer_;
  std::optional<FileMap> map_;
  std::uint64_t done_ = 0;
};

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
      others.push_back(try_thread([this] { work(); }));
      if (!others.back().joinable()) break;
    }
    work();
    for (std::thread& other : others) {
      if (other.joinable()) other.join();
    }
    if (failure_) std::rethrow_exception(failure_);
    return std::move(digests_);
  }

 private:
  void work() noexcept {
    try {
      RangeDigester digester(FileOf::anyone);
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

RangeDigester::RangeDigester(FileOf file_of)
    : file_of_(file_of), buffer_(std::make_unique_for_overwrite<std::byte[]>(k_lanes_bytes)) {}

std::vector<Digest> RangeDigester::digest(int file, std::span<const ByteRange> ranges,
                                          const std::string& subject,
                                          const std::function<void(std::size_t, Bytes)>& seen) {
  std::vector<Sha256> hashes(ranges.size());
  RangesReader reader({file, file_of_, subject}, ranges, buffer_.get());
  while (const Step step = reader.next()) {
    std::array<Sha256*, Sha256::k_most_lanes> chosen{};
    for (std::size_t i = 0; i < step.count; ++i) {
      chosen[i] = &hashes[step.ranges[i]];
      seen(step.ranges[i], step.bytes[i]);
    }
    Sha256::update_each(std::span(chosen).first(step.count),
                        std::span(step.bytes).first(step.count));
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
    std::thread next = try_thread([this] {
      while (auto job = jobs_.pop()) (*job)();
    });
    if (!next.joinable()) break;
    threads_.push_back(std::move(next));
  }
}

ChunkDigester::~ChunkDigester() {
  jobs_.close();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_future<std::vector<Digest>> ChunkDigester::digest(Bytes bytes) {
  Job job([bytes, chunk_bytes = chunk_bytes_] { return digest_chunks(bytes, chunk_bytes); });
  auto answer = job.get_future().share();
  if (threads_.empty()) {
    job();
  } else {
    jobs_.push(std::move(job));
  }
  return answer;
}

}  // namespace mad
