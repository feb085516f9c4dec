#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "exchange/partial_file.hpp"
#include "exchange/ranged_npz.hpp"
#include "hash/chunk_digests.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// An npz by ranges into the file that will be published: parts are written where they
/// belong, and journaled.  Goes on with what an earlier fetch left (PartialFile), where that
/// is checked.
class PlacedNpz : public RangedNpz {
 public:
  const RangePlan& plan() const override { return plan_; }
  std::uint64_t resumed_bytes() const override { return resumed_.bytes(); }

  std::uint64_t size_bytes() const { return size_bytes_; }
  /// Of the whole, once nothing is missing; nothing where it was checked otherwise.
  virtual std::optional<Digest> sha256() const { return std::nullopt; }

 protected:
  /// Whether there is anything to hold what an earlier fetch left against.
  enum class Leftovers { checked, unchecked };

  /// The publisher outlives it.  Asks for the space.
  PlacedNpz(SnapshotPublisher& publisher, const RangedObject& object, const RangePlan& plan,
            Leftovers leftovers);

  void place(std::uint64_t offset, Bytes bytes);
  /// The part is there; by any thread.
  void keep(const ByteRange& part);
  void forget(const ByteRange& range);
  std::vector<ByteRange> gaps();
  /// Whether an earlier fetch left some of it.
  bool resumes(const ByteRange& range);
  /// Up to where nothing is missing from `from` on.
  std::uint64_t run_end(std::uint64_t from);

  SnapshotPublisher& publisher_;
  std::uint64_t size_bytes_;
  RangePlan plan_;
  /// What an earlier fetch left, until it is found wrong.
  RangeSet resumed_;

 private:
  std::unique_ptr<PartialFile> partial_;
  std::mutex mutex_;
  RangeSet present_;
};

/// Held against the SHA-256 of the whole, in order behind the parts; where that is wrong,
/// what is from an earlier fetch is read again, once.  Without a manifest all is read.
class WholePlacedNpz final : public PlacedNpz {
 public:
  /// `manifest` is null where there is none.
  WholePlacedNpz(SnapshotPublisher& publisher, const RangedObject& object, const Manifest* manifest,
                 const RangePlan& plan);

  std::optional<Digest> sha256() const override { return sha256_; }
  std::vector<ByteRange> missing() override;
  void write(std::size_t slot, const ByteRange& part, std::uint64_t offset, Bytes bytes) override;
  void done(std::size_t slot, const ByteRange& part) override;

 private:
  void hash_on();

  const Manifest* manifest_;
  std::unique_ptr<std::byte[]> buffer_;
  Sha256 hash_;
  Digest sha256_{};
};

/// Held against the manifest's `chunks`, by the threads that bring them, and by nothing
/// else: the digest of the whole would be one processor's work, and take longer than the
/// network.  As many at once as are digested fastest, read back from the file.  A chunk of an
/// earlier fetch that is wrong is read again.
class ChunkPlacedNpz final : public PlacedNpz {
 public:
  /// Whether `manifest` promises chunks of just so many bytes.
  static bool suits(const Manifest* manifest, std::uint64_t size_bytes);

  /// Parts are of whole chunks, whatever `plan` says.
  ChunkPlacedNpz(SnapshotPublisher& publisher, const RangedObject& object, const Chunks& chunks,
                 const RangePlan& plan, const std::string& subject);

  /// This and write() throw where a chunk that came is not what it should be.
  std::vector<ByteRange> missing() override;
  void write(std::size_t slot, const ByteRange& part, std::uint64_t offset, Bytes bytes) override;
  void done(std::size_t slot, const ByteRange& part) override;

 private:
  ByteRange chunk_at(std::uint64_t index) const;
  /// At least `least` chunks, taken off `unchecked_`, or none.
  std::vector<std::uint64_t> take_unchecked(std::size_t least);
  void check(const std::vector<std::uint64_t>& indices);
  void settle(std::uint64_t index, const Digest& found);

  const Chunks& chunks_;
  std::string subject_;
  std::mutex unchecked_mutex_;
  /// Chunks that are there, each of an earlier fetch or of this one.
  std::vector<std::uint64_t> unchecked_;
  /// Those that rest from one check to the next.
  std::vector<std::unique_ptr<RangeDigester>> digesters_;
};

}  // namespace mad
