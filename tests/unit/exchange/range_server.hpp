#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "exchange/ranged_npz.hpp"

namespace mad::test {

/// A transport of one object in memory that knows ranges only; `on_range` may disturb one.
class RangeServer final : public Transport {
 public:
  explicit RangeServer(std::string text) : object(std::move(text)) {
    pinned.size_bytes = object.size();
    pinned.version = "v1";
  }

  Capabilities capabilities() const override { return {}; }
  std::optional<ObjectInfo> stat(const Url&) override { return pinned; }
  GetOutcome get(const Url&, Receiver&, std::uint64_t) override { throw not_here(); }
  RangeOutcome get_range(const Url&, const ObjectInfo&, std::uint64_t offset, std::uint64_t length,
                         Receiver& receiver) override {
    const unsigned now = ++in_flight_;
    struct Leave {
      std::atomic<unsigned>& count;
      ~Leave() { --count; }
    } const leave{in_flight_};
    {
      const std::lock_guard lock(mutex_);
      asked.push_back({offset, length});
      most_at_once = std::max(most_at_once, now);
    }
    const RangeOutcome outcome = on_range ? on_range({offset, length}) : RangeOutcome::complete;
    if (outcome != RangeOutcome::complete) return outcome;
    constexpr std::uint64_t k_step = 7000;
    for (std::uint64_t done = 0; done < length; done += k_step) {
      stop->check();
      receiver.write(as_bytes(
          std::string_view(object).substr(offset + done, std::min(k_step, length - done))));
    }
    return outcome;
  }
  std::optional<ObjectInfo> put(const Url&, Bytes, const PutOptions&) override { throw not_here(); }
  std::unique_ptr<Upload> begin_upload(const Url&, const PutOptions&,
                                       std::optional<std::uint64_t>) override {
    throw not_here();
  }
  void list(const Url&, const ListPage&) override { throw not_here(); }
  void remove(const Url&) override { throw not_here(); }
  TransferFigures figures() const override { return {}; }

  RangedSource source() { return {*this, url, pinned, *stop, nullptr}; }

  std::string object;
  ObjectInfo pinned;
  Url url;
  std::shared_ptr<Stop> stop = std::make_shared<Stop>();
  std::function<RangeOutcome(const ByteRange&)> on_range;
  std::vector<ByteRange> asked;
  unsigned most_at_once = 0;

 private:
  static std::logic_error not_here() { return std::logic_error("RangeServer knows ranges only"); }

  std::mutex mutex_;
  std::atomic<unsigned> in_flight_ = 0;
};

/// Bytes that differ everywhere.
inline std::string numbered_bytes(std::size_t size) {
  std::string text;
  for (std::uint64_t i = 0; text.size() < size; ++i) text += std::to_string(i * i * 2654435761U);
  text.resize(size);
  return text;
}

}  // namespace mad::test
