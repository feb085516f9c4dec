#include "exchange/remote_npz.hpp"

#include "base/error.hpp"
#include "base/log.hpp"

namespace mad {
namespace {

/// An object that changes under its ranges may be one that several servers have under
/// different pins: one stream needs only one of them.
constexpr int k_most_changes = 2;

}  // namespace

class RemoteNpz::Stream final : public Receiver {
 public:
  Stream(RemoteNpz& npz, const PairTexts& texts, bool hashed)
      : npz_(npz), texts_(texts), hashed_(hashed) {}

  void begin(const ObjectInfo& object) override {
    npz_.progress_.restart(object.size_bytes);
    npz_.size_bytes_ = 0;
    hash_ = Sha256();
    npz_.delivery_.begin(texts_);
  }
  void write(Bytes bytes) override {
    if (npz_.limit_) npz_.limit_->take(bytes.size(), &npz_.source_.stop);
    if (hashed_) hash_.update(bytes);
    npz_.delivery_.write(bytes);
    npz_.size_bytes_ += bytes.size();
    npz_.progress_.add(bytes.size());
  }
  void restart() override { npz_.delivery_.restart(); }
  Digest finish() { return hash_.finish(); }

 private:
  RemoteNpz& npz_;
  const PairTexts& texts_;
  bool hashed_;
  Sha256 hash_;
};

RemoteNpz::RemoteNpz(const NpzSource& source, Delivery& delivery, Progress& progress)
    : source_(source),
      delivery_(delivery),
      progress_(progress),
      has_ranges_(source.transport.capabilities().ranges) {
  source_.wishes.connections_a_processor = source.transport.capabilities().connections_a_processor;
  if (source.wishes.bytes_per_second) limit_.emplace(*source.wishes.bytes_per_second);
}

bool RemoteNpz::suits_ranges(const std::optional<ObjectInfo>& info) const {
  return has_ranges_ && changes_ < k_most_changes && info && !info->version.empty() &&
         info->size_bytes && *info->size_bytes > one_request_bytes(source_.wishes);
}

GetOutcome RemoteNpz::read(const std::optional<ObjectInfo>& info, const PairTexts& texts) {
  figures_ = {};
  resumed_bytes_ = 0;
  if (suits_ranges(info)) {
    switch (read_ranges_of(*info, texts)) {
      case RangeOutcome::complete:
        return GetOutcome::complete;
      case RangeOutcome::changed:
        ++changes_;
        return GetOutcome::changed;
      case RangeOutcome::no_ranges:
        log_verbose(display_url(source_.url) + ": no ranges here; reading one stream");
        has_ranges_ = false;
        figures_ = {};
        delivery_.restart();
    }
  }
  Stream stream(*this, texts, !info);
  const GetOutcome outcome = source_.transport.get(source_.url, stream, source_.max_size_bytes);
  if (!info) sha256_ = stream.finish();
  return outcome;
}

RangeOutcome RemoteNpz::read_ranges_of(const ObjectInfo& info, const PairTexts& texts) {
  const std::string subject = display_url(source_.url);
  size_bytes_ = *info.size_bytes;
  if (size_bytes_ > source_.max_size_bytes) {
    throw Error(ExitCode::refused, "too-large", subject,
                "expected at most " + std::to_string(source_.max_size_bytes) + " bytes, found " +
                    std::to_string(size_bytes_),
                "--max-size sets the bound");
  }
  const RangedSource ranges{source_.transport, source_.url, info, source_.stop,
                            limit_ ? &*limit_ : nullptr};
  RangedNpz& npz =
      delivery_.begin_ranges(texts, {size_bytes_, subject + '\n' + info.version}, source_.wishes);
  figures_ = read_npz(ranges, npz, progress_);
  resumed_bytes_ = npz.resumed_bytes();
  return figures_.outcome;
}

void RemoteNpz::restart() {
  delivery_.restart();
}

void RemoteNpz::tell(Report& report) const {
  report.set("size_bytes", size_bytes_);
  report.set("connections", std::uint64_t{figures_.ranges == 0 ? 1 : figures_.connections});
  report.set("ranges", figures_.ranges);
  report.set("resumed_bytes", resumed_bytes_);
}

}  // namespace mad
