#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "exchange/partial_file.hpp"
#include "exchange/ranged_npz.hpp"
#include "hash/sha256.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// An npz by ranges into the file that will be published: parts are written where they
/// belong, and what is there is hashed in order meanwhile, each byte once.
///
/// Goes on with what an earlier fetch left (PartialFile).  A chunk of it that is not what
/// the manifest's `chunks` say is read again, and so is everything left behind it; where
/// only the digest of the whole tells that it is wrong, all of it is, once.
class PlacedNpz final : public RangedNpz {
 public:
  /// All outlive it; `manifest` is null where there is none.  Asks for the space.
  PlacedNpz(SnapshotPublisher& publisher, const RangedObject& object, const Manifest* manifest,
            const RangePlan& plan);

  const RangePlan& plan() const override { return plan_; }
  std::vector<ByteRange> missing() override;
  std::uint64_t resumed_bytes() const override { return resumed_.bytes(); }
  void write(std::size_t slot, const ByteRange& part, std::uint64_t offset, Bytes bytes) override;
  void done(std::size_t slot, const ByteRange& part) override;

  /// Of the whole, once nothing is missing.
  const Digest& sha256() const { return sha256_; }
  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  ChunkedSha256 new_hash() const;
  void hash_on();
  bool hash_chunk(std::uint64_t end);
  bool chunk_is_right(std::uint64_t index) const;
  void forget(const ByteRange& range);

  SnapshotPublisher& publisher_;
  const Manifest* manifest_;
  std::uint64_t size_bytes_;
  RangePlan plan_;
  std::unique_ptr<PartialFile> partial_;

  std::mutex mutex_;
  RangeSet present_;
  /// Those of an earlier fetch, until they are found wrong.
  RangeSet resumed_;

  std::unique_ptr<std::byte[]> buffer_;
  ChunkedSha256 hash_;
  /// The state at the last chunk's beginning, where that has bytes of an earlier fetch.
  std::optional<ChunkedSha256> before_;
  Digest sha256_{};
};

}  // namespace mad
