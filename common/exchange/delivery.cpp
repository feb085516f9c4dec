#include "exchange/delivery.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/log.hpp"
#include "bundle/bundle_writer.hpp"
#include "exchange/ordered_npz.hpp"
#include "exchange/placed_npz.hpp"
#include "io/file.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/hashing_sink.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

class BundleDelivery final : public Delivery {
 public:
  BundleDelivery(int fd, const std::string& name) : bundle_(fd, name) {}

  void begin(const PairTexts& texts) override {
    begun_ = true;
    size_bytes_ = 0;
    if (texts.manifest) bundle_.manifest(*texts.manifest);
    if (texts.signature) bundle_.signature(*texts.signature);
  }
  void write(Bytes bytes) override {
    size_bytes_ += bytes.size();
    bundle_.write(bytes);
  }
  std::uint64_t write_file(int file, std::uint64_t offset, std::uint64_t length,
                           const std::string& subject) override {
    const std::uint64_t had = bundle_.write_file(file, offset, length, subject);
    size_bytes_ += had;
    return had;
  }
  void restart() override {
    if (begun_) bundle_.restart();
    begun_ = false;
  }

  void finish() override {
    Seal seal;
    seal.stage = Stage::fetched;
    seal.tool = tool_name();
    seal.size_bytes = size_bytes_;
    bundle_.seal(seal);
  }
  void absent(const std::string& reason, const std::string& message) override {
    Seal seal;
    seal.stage = Stage::absent;
    seal.tool = tool_name();
    seal.reason = reason;
    seal.message = message;
    bundle_.seal(seal);
  }
  void failed(const Error& error) override { bundle_.seal(failed_seal(tool_name(), error)); }

 private:
  BundleWriter bundle_;
  bool begun_ = false;
  std::uint64_t size_bytes_ = 0;
};

class FileDelivery final : public Delivery {
 public:
  FileDelivery(std::string npz_path, SourceNames source, const PublishOptions& options)
      : npz_path_(std::move(npz_path)), source_(std::move(source)), options_(options) {}

  void begin(const PairTexts& texts) override {
    open(texts);
    hashing_.emplace(*publisher_, std::uint64_t{0});
  }
  void write(Bytes bytes) override { hashing_->write(bytes); }

  RangedNpz& begin_ranges(const PairTexts& texts, const RangedObject& object,
                          const RangeWishes& wishes) override {
    open(texts);
    const RangePlan plan = plan_ranges(object.size_bytes, wishes, PartsIn::file);
    const Manifest* manifest = parsed_ ? &*parsed_ : nullptr;
    if (ChunkPlacedNpz::suits(manifest, object.size_bytes)) {
      placed_ = std::make_unique<ChunkPlacedNpz>(*publisher_, object, *manifest->chunks, plan,
                                                 source_.npz);
    } else {
      placed_ = std::make_unique<WholePlacedNpz>(*publisher_, object, manifest, plan);
    }
    return *placed_;
  }

  void restart() override {
    hashing_.reset();
    placed_.reset();
    publisher_.reset();
  }

  void finish() override {
    if (placed_) {
      check(placed_->size_bytes(), placed_->sha256());
    } else {
      hashing_->finish();
      check(hashing_->digests().size_bytes, hashing_->digests().sha256);
    }
    publisher_->publish(texts_.manifest, texts_.signature);
    placed_.reset();
    remove_partial(npz_path_);
  }
  void absent(const std::string&, const std::string&) override {}
  void failed(const Error& error) override {
    restart();
    const bool passing = error.code == ExitCode::remote || error.code == ExitCode::access_denied ||
                         error.code == ExitCode::deadline || error.reason == "lock-timeout";
    if (!passing) remove_partial(npz_path_);
  }

 private:
  void open(const PairTexts& texts) {
    texts_ = texts;
    parsed_.reset();
    if (texts.manifest) parsed_ = parse_manifest(*texts.manifest, source_.manifest);
    publisher_.emplace(npz_path_, options_);
  }

  /// Without `sha256` the bytes are known to be right.
  void check(std::uint64_t size_bytes, const std::optional<Digest>& sha256) const {
    if (!parsed_) return;
    if (parsed_->size_bytes && *parsed_->size_bytes != size_bytes) {
      throw Error(ExitCode::refused, "size-mismatch", source_.npz,
                  "size mismatch\nmanifest: " + std::to_string(*parsed_->size_bytes) +
                      " bytes\nfetched:  " + std::to_string(size_bytes) + " bytes");
    }
    if (sha256 && parsed_->sha256 != *sha256) {
      throw Error(ExitCode::refused, "sha256-mismatch", source_.npz,
                  "SHA-256 mismatch\nmanifest: " + to_hex(parsed_->sha256) +
                      "\nfetched:  " + to_hex(*sha256));
    }
    if (!parsed_->size_bytes) log_warning(source_.manifest + ": it does not say size_bytes");
  }

  std::string npz_path_;
  SourceNames source_;
  PublishOptions options_;
  std::optional<SnapshotPublisher> publisher_;
  std::optional<HashingSink> hashing_;
  std::unique_ptr<PlacedNpz> placed_;
  PairTexts texts_;
  std::optional<Manifest> parsed_;
};

}  // namespace

RangedNpz& Delivery::begin_ranges(const PairTexts& texts, const RangedObject& object,
                                  const RangeWishes& wishes) {
  const RangePlan plan = plan_ranges(object.size_bytes, wishes, PartsIn::memory);
  // The stream begins with the first part: until then another way of reading can be taken.
  ranged_ = std::make_unique<OrderedNpz>(object.size_bytes, plan,
                                         [this, texts, begun = false](Bytes bytes) mutable {
                                           if (!begun) begin(texts);
                                           begun = true;
                                           write(bytes);
                                         });
  return *ranged_;
}

std::uint64_t Delivery::write_file(int file, std::uint64_t offset, std::uint64_t length,
                                   const std::string& subject) {
  // Hot in the second-level cache between the copy out of the page cache and the next.
  constexpr std::uint64_t k_read_bytes = std::uint64_t{512} << 10U;
  const auto size = static_cast<std::size_t>(std::min(length, k_read_bytes));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);
  const MutableBytes whole(buffer.get(), size);
  std::uint64_t done = 0;
  while (done < length) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, length - done));
    const std::size_t n = pread_full(file, whole.first(wanted), offset + done, subject);
    write(whole.first(n));
    done += n;
    if (n < wanted) break;
  }
  return done;
}

std::unique_ptr<Delivery> deliver_bundle(int fd, const std::string& name) {
  return std::make_unique<BundleDelivery>(fd, name);
}

std::unique_ptr<Delivery> deliver_files(const std::string& npz_path, const SourceNames& source,
                                        const PublishOptions& options) {
  return std::make_unique<FileDelivery>(npz_path, source, options);
}

}  // namespace mad
