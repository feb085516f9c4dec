#include "exchange/placed_npz.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

/// Hot in the second-level cache between the copy out of the page cache and the hash.
constexpr std::size_t k_hash_bytes = std::size_t{256} << 10U;

std::uint64_t chunk_bytes_of(const Manifest* manifest, std::uint64_t size_bytes) {
  const bool listed = manifest != nullptr && manifest->chunks;
  return listed ? manifest->chunks->chunk_bytes : chunk_bytes_for(size_bytes);
}

}  // namespace

PlacedNpz::PlacedNpz(SnapshotPublisher& publisher, const RangedObject& object,
                     const Manifest* manifest, const RangePlan& plan)
    : publisher_(publisher),
      manifest_(manifest),
      size_bytes_(object.size_bytes),
      plan_(plan),
      partial_(PartialFile::open(publisher.path(), object.identity, object.size_bytes)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(k_hash_bytes)),
      hash_(chunk_bytes_of(manifest, object.size_bytes)) {
  if (partial_) {
    present_ = resumed_ = partial_->parts();
    publisher_.adopt(partial_->share());
  }
  hash_ = new_hash();
  publisher_.reserve(size_bytes_);
  if (!resumed_.empty()) {
    log_note(printable(publisher_.path()) + ": going on with " + format_size(resumed_.bytes()) +
             " that an earlier fetch left");
  }
}

/// Only what an earlier fetch left is held against the manifest's chunks.
ChunkedSha256 PlacedNpz::new_hash() const {
  return ChunkedSha256(hash_.chunk_bytes(),
                       resumed_.empty() ? ChunkDigests::unwanted : ChunkDigests::wanted);
}

std::vector<ByteRange> PlacedNpz::missing() {
  for (;;) {
    if (auto gaps = present_.gaps(size_bytes_); !gaps.empty()) return gaps;
    hash_on();
    if (hash_.length_bytes() != size_bytes_) continue;
    sha256_ = ChunkedSha256(hash_).finish();
    if (manifest_ == nullptr || resumed_.empty() || sha256_ == manifest_->sha256) return {};
    log_note(printable(publisher_.path()) +
             ": what an earlier fetch left is not what the manifest says; fetching it anew");
    forget({0, size_bytes_});
    hash_ = new_hash();
  }
}

void PlacedNpz::write(std::size_t, const ByteRange& part, std::uint64_t offset, Bytes bytes) {
  pwrite_full(publisher_.npz_fd(), bytes, offset, publisher_.path());
  if (offset + bytes.size() != part.end()) return;
  const std::lock_guard lock(mutex_);
  present_.add(part);
  if (partial_) partial_->add(part);
}

void PlacedNpz::done(std::size_t, const ByteRange&) {
  hash_on();
}

void PlacedNpz::hash_on() {
  std::uint64_t end = 0;
  {
    const std::lock_guard lock(mutex_);
    end = present_.run_end(hash_.length_bytes());
  }
  for (bool right = true; right && hash_.length_bytes() < end;) right = hash_chunk(end);
  publisher_.written_to(hash_.length_bytes());
}

/// Up to `end` or the end of the chunk; false where that was not what it should be.
bool PlacedNpz::hash_chunk(std::uint64_t end) {
  const std::uint64_t index = hash_.length_bytes() / hash_.chunk_bytes();
  const std::uint64_t begin = index * hash_.chunk_bytes();
  const ByteRange chunk{begin, std::min(hash_.chunk_bytes(), size_bytes_ - begin)};
  if (hash_.length_bytes() == begin) {
    before_.reset();
    if (resumed_.intersects(chunk)) before_ = hash_;
  }
  for (end = std::min(end, chunk.end()); hash_.length_bytes() < end;) {
    check_interrupted();
    const MutableBytes into(buffer_.get(), static_cast<std::size_t>(std::min<std::uint64_t>(
                                               k_hash_bytes, end - hash_.length_bytes())));
    if (pread_full(publisher_.npz_fd(), into, hash_.length_bytes(), publisher_.path()) !=
        into.size()) {
      throw Error(ExitCode::io, "io-error", printable(publisher_.path()),
                  "what was fetched was cut off by another process");
    }
    hash_.update(into);
  }
  if (hash_.length_bytes() != chunk.end() || !before_ || chunk_is_right(index)) return true;
  log_note(printable(publisher_.path()) + ": what an earlier fetch left is damaged from byte " +
           std::to_string(begin) + " on; fetching that anew");
  hash_ = *before_;
  // Where one chunk is wrong, what was written after it is not to be relied on either.
  forget({begin, size_bytes_ - begin});
  return false;
}

/// As far as the manifest tells.
bool PlacedNpz::chunk_is_right(std::uint64_t index) const {
  if (manifest_ == nullptr || !manifest_->chunks) return true;
  const std::vector<Digest>& told = manifest_->chunks->digests;
  if (index >= told.size()) return true;
  if (index < hash_.chunks().size()) return hash_.chunks()[index] == told[index];
  ChunkedSha256 ended(hash_);  // the last one, shorter
  ended.finish();
  return ended.chunks().back() == told[index];
}

/// Of `range`, what an earlier fetch left, and the whole of the chunk it begins with.
void PlacedNpz::forget(const ByteRange& range) {
  const std::lock_guard lock(mutex_);
  present_.remove({range.offset, std::min(range.length, hash_.chunk_bytes())});
  for (const ByteRange& left : resumed_.ranges()) {
    if (left.end() <= range.offset) continue;
    const std::uint64_t from = std::max(left.offset, range.offset);
    present_.remove({from, left.end() - from});
  }
  resumed_.remove(range);
  if (partial_) partial_->replace(present_);
}

}  // namespace mad
