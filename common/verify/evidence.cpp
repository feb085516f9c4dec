#include "verify/evidence.hpp"

#include <algorithm>
#include <memory>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/progress.hpp"
#include "hash/crc32.hpp"
#include "npz/inflate.hpp"
#include "npz/npy_header.hpp"

namespace mad {
namespace {

constexpr std::size_t k_read_bytes = std::size_t{256} << 10U;

/// Hashes as many bytes as a witness promises.
class WitnessHash {
 public:
  explicit WitnessHash(Witness& witness)
      : witness_(witness),
        hash_(witness.chunks ? witness.chunks->chunk_bytes : k_max_chunk_bytes),
        left_(witness.size_bytes.value_or(UINT64_MAX)) {}

  void update(Bytes bytes) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    hash_.update(bytes.first(n));
    left_ -= n;
  }

  void finish() {
    witness_.right_start = hash_.finish() == witness_.sha256;
    if (!witness_.chunks) return;
    const std::vector<Digest>& promised = witness_.chunks->digests;
    const std::vector<Digest>& found = hash_.chunks();
    witness_.right_chunks.resize(promised.size());
    for (std::size_t i = 0; i < std::min(promised.size(), found.size()); ++i) {
      witness_.right_chunks[i] = promised[i] == found[i];
    }
  }

 private:
  Witness& witness_;
  ChunkedSha256 hash_;
  std::uint64_t left_;
};

/// Collects stretches of zeros.
class ZeroFinder {
 public:
  void update(std::uint64_t offset, Bytes bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      if (bytes[at] != std::byte{0}) {
        end_run(offset + at);
        const auto next =
            std::find(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), std::byte{0});
        at = static_cast<std::size_t>(next - bytes.begin());
        continue;
      }
      if (!in_run_) run_.first = offset + at;
      in_run_ = true;
      const auto next = std::find_if(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(),
                                     [](std::byte byte) { return byte != std::byte{0}; });
      at = static_cast<std::size_t>(next - bytes.begin());
    }
  }

  std::vector<Extent> finish(std::uint64_t end) {
    end_run(end);
    keep_longest();
    std::sort(runs_.begin(), runs_.end(), [](Extent a, Extent b) { return a.first < b.first; });
    return std::move(runs_);
  }

 private:
  static constexpr std::uint64_t k_least_bytes = 512;
  static constexpr std::size_t k_most_runs = 1024;

  void end_run(std::uint64_t end) {
    if (!in_run_) return;
    in_run_ = false;
    run_.end = end;
    if (run_.end - run_.first < k_least_bytes) return;
    runs_.push_back(run_);
    if (runs_.size() == 2 * k_most_runs) keep_longest();
  }

  void keep_longest() {
    if (runs_.size() <= k_most_runs) return;
    std::stable_sort(runs_.begin(), runs_.end(),
                     [](Extent a, Extent b) { return a.end - a.first > b.end - b.first; });
    runs_.resize(k_most_runs);
  }

  std::vector<Extent> runs_;
  Extent run_;
  bool in_run_ = false;
};

/// Follows one array's bytes as they pass by.
class ArrayFollower {
 public:
  /// `unpackable_bytes` is how many may still be unpacked, of all arrays.
  ArrayFollower(const ArrayRecord& record, ArrayEvidence& evidence, std::uint64_t& unpackable_bytes)
      : record_(record), evidence_(evidence), unpackable_bytes_(unpackable_bytes) {
    if (record.method == NpzMethod::deflated) inflater_ = std::make_unique<Inflater>();
  }

  void update(Bytes bytes) {
    packed_bytes_ += bytes.size();
    if (!evidence_.problem.empty()) return;
    if (!inflater_) return take(bytes);
    try {
      inflate(bytes);
    } catch (const Error& error) {
      evidence_.problem = "cannot be unpacked: " + error.message;
    }
  }

  void finish() {
    evidence_.complete = packed_bytes_ == record_.packed_bytes;
    parse_header();
    if (evidence_.problem.empty() && evidence_.complete && unpacked_bytes_ != record_.size_bytes) {
      evidence_.problem = "it has " + std::to_string(unpacked_bytes_) + " bytes, its records say " +
                          std::to_string(record_.size_bytes);
    }
    evidence_.sound = evidence_.complete && evidence_.problem.empty();
  }

 private:
  void inflate(Bytes bytes) {
    unpacked_.resize(k_read_bytes);
    while (!ended_) {
      const Inflater::Step step = inflater_->step(bytes, unpacked_, record_.name);
      bytes = bytes.subspan(step.consumed);
      ended_ = step.ended;
      take(Bytes(unpacked_).first(step.produced));
      if (step.produced > unpackable_bytes_) {
        evidence_.problem = "it unpacks to more than may be";
        return;
      }
      unpackable_bytes_ -= step.produced;
      if (unpacked_bytes_ > record_.size_bytes) {
        evidence_.problem = "it unpacks to more than the " + std::to_string(record_.size_bytes) +
                            " bytes that its records say";
        return;
      }
      if (step.produced == 0 && step.consumed == 0) break;
    }
    if (ended_ && !bytes.empty()) evidence_.problem = "bytes follow its deflate stream";
  }

  void take(Bytes bytes) {
    evidence_.crc32 = crc32(evidence_.crc32, bytes);
    unpacked_bytes_ += bytes.size();
    const std::size_t wanted =
        k_max_npy_header_bytes - std::min(k_max_npy_header_bytes, header_.size());
    if (wanted == 0) return;
    const Bytes more = bytes.first(std::min(bytes.size(), wanted));
    header_.insert(header_.end(), more.begin(), more.end());
  }

  void parse_header() {
    if (!evidence_.problem.empty()) return;
    try {
      const NpyHeader header = parse_npy_header(header_, record_.name);
      if (header.header_bytes + header.data_bytes != record_.size_bytes) {
        evidence_.problem = "its .npy header stands for " +
                            std::to_string(header.header_bytes + header.data_bytes) +
                            " bytes, its records for " + std::to_string(record_.size_bytes);
      }
    } catch (const Error& error) {
      evidence_.problem = error.message;
    }
  }

  const ArrayRecord& record_;
  ArrayEvidence& evidence_;
  std::uint64_t& unpackable_bytes_;
  std::unique_ptr<Inflater> inflater_;
  std::vector<std::byte> unpacked_;
  std::vector<std::byte> header_;
  bool ended_ = false;
  std::uint64_t packed_bytes_ = 0;
  std::uint64_t unpacked_bytes_ = 0;
};

/// Hands each array its bytes, in the layout's order.
class Arrays {
 public:
  Arrays(const std::vector<ArrayRecord>& records, std::vector<ArrayEvidence>& evidence,
         std::uint64_t max_bytes)
      : records_(records), evidence_(evidence), unpackable_bytes_(max_bytes) {}

  void update(std::uint64_t offset, Bytes bytes) {
    const std::uint64_t end = offset + bytes.size();
    while (next_ < records_.size()) {
      const ArrayRecord& record = records_[next_];
      if (record.data_offset >= end && record.packed_bytes > 0) return;
      begin_array();
      // Of one that overlaps what came before only the rest is still to come.
      const std::uint64_t from = std::max(record.data_offset, offset);
      const std::uint64_t to = std::min(record.end_byte(), end);
      if (from < to) follower_->update(bytes.subspan(from - offset, to - from));
      if (record.end_byte() > end) return;
      end_array();
    }
  }

  void finish() {
    while (next_ < records_.size()) {
      begin_array();
      end_array();
    }
  }

 private:
  void begin_array() {
    if (follower_) return;
    follower_ =
        std::make_unique<ArrayFollower>(records_[next_], evidence_[next_], unpackable_bytes_);
  }

  void end_array() {
    follower_->finish();
    follower_.reset();
    ++next_;
  }

  const std::vector<ArrayRecord>& records_;
  std::vector<ArrayEvidence>& evidence_;
  std::uint64_t unpackable_bytes_;
  std::unique_ptr<ArrayFollower> follower_;
  std::size_t next_ = 0;
};

}  // namespace

bool Witness::vouches_for(Extent range) const {
  if (range.first >= range.end) return false;
  if (size_bytes && range.end > *size_bytes) return false;
  if (right_start) return true;
  if (!chunks) return false;
  const std::uint64_t last = (range.end - 1) / chunks->chunk_bytes;
  if (last >= right_chunks.size()) return false;
  for (std::uint64_t i = range.first / chunks->chunk_bytes; i <= last; ++i) {
    if (!right_chunks[static_cast<std::size_t>(i)]) return false;
  }
  return true;
}

bool Witness::knows_any() const {
  return right_start ||
         std::find(right_chunks.begin(), right_chunks.end(), true) != right_chunks.end();
}

Evidence gather_evidence(int npz, std::uint64_t size_bytes, const ArchiveLayout& layout,
                         std::vector<Witness>& witnesses, std::uint64_t max_bytes,
                         const std::string& subject) {
  Evidence evidence;
  evidence.arrays.resize(layout.arrays.size());
  std::vector<WitnessHash> hashes;
  hashes.reserve(witnesses.size());
  for (Witness& witness : witnesses) hashes.emplace_back(witness);
  ZeroFinder zeros;
  Arrays arrays(layout.arrays, evidence.arrays, max_bytes);
  Progress progress(subject + ": looking for the damage", size_bytes);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(k_read_bytes);
  std::uint64_t offset = 0;
  while (offset < size_bytes) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(k_read_bytes, size_bytes - offset));
    const Bytes bytes(buffer.get(),
                      pread_full(npz, MutableBytes(buffer.get(), want), offset, subject));
    if (bytes.empty()) break;
    check_interrupted();
    for (WitnessHash& hash : hashes) hash.update(bytes);
    zeros.update(offset, bytes);
    arrays.update(offset, bytes);
    offset += bytes.size();
    progress.add(bytes.size());
  }
  for (WitnessHash& hash : hashes) hash.finish();
  arrays.finish();
  evidence.zeros = zeros.finish(offset);
  return evidence;
}

}  // namespace mad
