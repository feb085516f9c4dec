#include "exchange/placed_npz.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "verify/checks.hpp"

namespace mad {
namespace {

/// Hot in the second-level cache between the copy out of the page cache and the hash.
constexpr std::size_t k_hash_bytes = std::size_t{256} << 10U;

}  // namespace

PlacedNpz::PlacedNpz(SnapshotPublisher& publisher, const RangedObject& object,
                     const RangePlan& plan, Leftovers leftovers)
    : publisher_(publisher),
      size_bytes_(object.size_bytes),
      plan_(plan),
      partial_(PartialFile::open(publisher.path(), object.identity, object.size_bytes)) {
  if (partial_) {
    if (leftovers == Leftovers::unchecked) partial_->replace({});
    present_ = resumed_ = partial_->parts();
    publisher_.adopt(partial_->share());
  }
  publisher_.reserve(size_bytes_);
  if (!resumed_.empty()) {
    log_note(printable(publisher_.path()) + ": going on with " + format_size(resumed_.bytes()) +
             " that an earlier fetch left");
  }
}

void PlacedNpz::place(std::uint64_t offset, Bytes bytes) {
  pwrite_full(publisher_.npz_fd(), bytes, offset, publisher_.path());
}

void PlacedNpz::keep(const ByteRange& part) {
  const std::lock_guard lock(mutex_);
  present_.add(part);
  if (partial_) partial_->add(part);
}

void PlacedNpz::forget(const ByteRange& range) {
  const std::lock_guard lock(mutex_);
  present_.remove(range);
  resumed_.remove(range);
  if (partial_) partial_->replace(present_);
}

std::vector<ByteRange> PlacedNpz::gaps() {
  const std::lock_guard lock(mutex_);
  return present_.gaps(size_bytes_);
}

bool PlacedNpz::resumes(const ByteRange& range) {
  const std::lock_guard lock(mutex_);
  return resumed_.intersects(range);
}

std::uint64_t PlacedNpz::run_end(std::uint64_t from) {
  const std::lock_guard lock(mutex_);
  return present_.run_end(from);
}

WholePlacedNpz::WholePlacedNpz(SnapshotPublisher& publisher, const RangedObject& object,
                               const Manifest* manifest, const RangePlan& plan)
    : PlacedNpz(publisher, object, plan,
                manifest == nullptr ? Leftovers::unchecked : Leftovers::checked),
      manifest_(manifest),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(k_hash_bytes)) {}

std::vector<ByteRange> WholePlacedNpz::missing() {
  for (;;) {
    if (auto missing = gaps(); !missing.empty()) return missing;
    hash_on();
    sha256_ = Sha256(hash_).finish();
    if (manifest_ == nullptr || resumed_.empty() || sha256_ == manifest_->sha256) return {};
    log_note(printable(publisher_.path()) +
             ": what an earlier fetch left is not what the manifest says; fetching it anew");
    for (const ByteRange& left : resumed_.ranges()) forget(left);
    hash_ = Sha256();
  }
}

void WholePlacedNpz::write(std::size_t, const ByteRange& part, std::uint64_t offset, Bytes bytes) {
  place(offset, bytes);
  if (offset + bytes.size() == part.end()) keep(part);
}

void WholePlacedNpz::done(std::size_t, const ByteRange&) {
  hash_on();
}

void WholePlacedNpz::hash_on() {
  const std::uint64_t end = run_end(hash_.length_bytes());
  for (std::uint64_t at = hash_.length_bytes(); at < end; at = hash_.length_bytes()) {
    check_interrupted();
    const MutableBytes room(
        buffer_.get(), static_cast<std::size_t>(std::min<std::uint64_t>(k_hash_bytes, end - at)));
    if (pread_full(publisher_.npz_fd(), room, at, publisher_.path()) != room.size()) {
      throw Error(ExitCode::io, "io-error", printable(publisher_.path()),
                  "what was fetched was cut off by another process");
    }
    hash_.update(room);
  }
  publisher_.written_to(hash_.length_bytes());
}

bool ChunkPlacedNpz::suits(const Manifest* manifest, std::uint64_t size_bytes) {
  if (manifest == nullptr || !manifest->chunks || manifest->size_bytes != size_bytes) return false;
  const std::uint64_t chunk_bytes = manifest->chunks->chunk_bytes;
  return manifest->chunks->digests.size() == (size_bytes + chunk_bytes - 1) / chunk_bytes;
}

ChunkPlacedNpz::ChunkPlacedNpz(SnapshotPublisher& publisher, const RangedObject& object,
                               const Chunks& chunks, const RangePlan& plan,
                               const std::string& subject)
    : PlacedNpz(publisher, object, plan, Leftovers::checked), chunks_(chunks), subject_(subject) {
  const std::uint64_t chunk_bytes = chunks.chunk_bytes;
  plan_.part_bytes = (plan.part_bytes + chunk_bytes - 1) / chunk_bytes * chunk_bytes;
  for (std::uint64_t index = chunks.digests.size(); index-- > 0;) {
    const ByteRange chunk = chunk_at(index);
    if (resumed_.run_end(chunk.offset) >= chunk.end()) {
      unchecked_.push_back(index);
    } else if (resumed_.intersects(chunk)) {
      forget(chunk);
    }
  }
}

ByteRange ChunkPlacedNpz::chunk_at(std::uint64_t index) const {
  const std::uint64_t begin = index * chunks_.chunk_bytes;
  return {begin, std::min(chunks_.chunk_bytes, size_bytes_ - begin)};
}

std::vector<ByteRange> ChunkPlacedNpz::missing() {
  auto missing = gaps();
  if (!missing.empty()) return missing;
  for (auto indices = take_unchecked(1); !indices.empty(); indices = take_unchecked(1)) {
    check(indices);
  }
  return gaps();
}

void ChunkPlacedNpz::write(std::size_t, const ByteRange& part, std::uint64_t offset, Bytes bytes) {
  place(offset, bytes);
  const std::uint64_t end = offset + bytes.size();
  if (end < part.end()) return;
  keep(part);
  {
    const std::lock_guard lock(unchecked_mutex_);
    for (std::uint64_t at = part.offset; at < part.end(); at += chunks_.chunk_bytes) {
      unchecked_.push_back(at / chunks_.chunk_bytes);
    }
  }
  check(take_unchecked(Sha256::lanes()));
}

void ChunkPlacedNpz::done(std::size_t, const ByteRange&) {
  publisher_.written_to(run_end(0));
}

std::vector<std::uint64_t> ChunkPlacedNpz::take_unchecked(std::size_t least) {
  const std::lock_guard lock(unchecked_mutex_);
  if (unchecked_.size() < least) return {};
  const auto first =
      unchecked_.end() - static_cast<std::ptrdiff_t>(std::min(unchecked_.size(), Sha256::lanes()));
  std::vector<std::uint64_t> taken(first, unchecked_.end());
  unchecked_.erase(first, unchecked_.end());
  return taken;
}

void ChunkPlacedNpz::check(const std::vector<std::uint64_t>& indices) {
  if (indices.empty()) return;
  std::unique_ptr<RangeDigester> digester;
  {
    const std::lock_guard lock(unchecked_mutex_);
    if (!digesters_.empty()) {
      digester = std::move(digesters_.back());
      digesters_.pop_back();
    }
  }
  if (!digester) digester = std::make_unique<RangeDigester>(FileOf::this_process);
  std::vector<ByteRange> ranges;
  ranges.reserve(indices.size());
  for (const std::uint64_t index : indices) ranges.push_back(chunk_at(index));
  const auto found = digester->digest(publisher_.npz_fd(), ranges, printable(publisher_.path()),
                                      [](std::size_t, Bytes) { check_interrupted(); });
  for (std::size_t i = 0; i < indices.size(); ++i) settle(indices[i], found[i]);
  const std::lock_guard lock(unchecked_mutex_);
  digesters_.push_back(std::move(digester));
}

void ChunkPlacedNpz::settle(std::uint64_t index, const Digest& found) {
  if (found == chunks_.digests[index]) return;
  const ByteRange chunk = chunk_at(index);
  const bool was_left = resumes(chunk);
  forget(chunk);
  if (!was_left) {
    throw chunk_mismatch(subject_, index, chunk.offset, chunk.length, chunks_.digests[index],
                         found);
  }
  log_note(printable(publisher_.path()) + ": what an earlier fetch left is damaged at bytes " +
           std::to_string(chunk.offset) + " to " + std::to_string(chunk.end()) +
           "; fetching them anew");
}

}  // namespace mad
