#include "exchange/ranged_read.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/processors.hpp"
#include "base/thread.hpp"

namespace mad {
namespace {

constexpr std::uint64_t k_mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t k_one_request_bytes = 4 * k_mib;
constexpr std::uint64_t k_memory_window_bytes = 36 * k_mib;
/// How far reading may run ahead of hashing: the page cache still has it.
constexpr std::uint64_t k_file_window_bytes = 512 * k_mib;
constexpr std::uint64_t k_max_part_bytes = 16 * k_mib;
constexpr unsigned k_most_connections = 8;

/// A part on its way into its slot.
class PartReceiver final : public Receiver {
 public:
  PartReceiver(const RangedSource& source, PartTarget& target, std::size_t slot,
               const ByteRange& part)
      : source_(source), target_(target), slot_(slot), part_(part), at_(part.offset) {}

  void begin(const ObjectInfo&) override {}
  void restart() override { at_ = part_.offset; }
  void write(Bytes bytes) override {
    if (bytes.size() > part_.end() - at_) throw std::logic_error("a range longer than asked for");
    if (source_.limit != nullptr) source_.limit->take(bytes.size(), &source_.stop);
    target_.write(slot_, part_, at_, bytes);
    at_ += bytes.size();
  }
  bool whole() const { return at_ == part_.end(); }

 private:
  const RangedSource& source_;
  PartTarget& target_;
  std::size_t slot_;
  ByteRange part_;
  std::uint64_t at_;
};

/// The ranges cut into parts, one after the other.
class Parts {
 public:
  Parts(const std::vector<ByteRange>& ranges, std::uint64_t part_bytes)
      : ranges_(ranges), part_bytes_(part_bytes) {}

  bool exhausted() const { return range_ == ranges_.size(); }
  ByteRange next() {
    const ByteRange& range = ranges_[range_];
    const ByteRange part{range.offset + done_, std::min(part_bytes_, range.length - done_)};
    done_ += part.length;
    if (done_ == range.length) {
      ++range_;
      done_ = 0;
    }
    return part;
  }

 private:
  const std::vector<ByteRange>& ranges_;
  std::uint64_t part_bytes_;
  std::size_t range_ = 0;
  std::uint64_t done_ = 0;
};

class RangedRead {
 public:
  RangedRead(const RangedSource& source, const std::vector<ByteRange>& ranges,
             const RangePlan& plan, PartTarget& target)
      : source_(source),
        target_(target),
        parts_(ranges, plan.part_bytes),
        connections_(plan.connections),
        slots_(plan.window) {}
  ~RangedRead() { join(); }
  RangedRead(const RangedRead&) = delete;
  RangedRead& operator=(const RangedRead&) = delete;

  RangeOutcome run(Progress& progress) {
    start();
    while (const auto slot = threads_.empty() ? read_next() : wait_for_next()) {
      const ByteRange part = slots_[*slot].part;
      target_.done(*slot, part);
      progress.add(part.length);
      give_back(*slot);
    }
    join();
    if (failure_) std::rethrow_exception(failure_);
    return outcome_;
  }

 private:
  struct Slot {
    ByteRange part;
    bool whole = false;
  };

  void start() {
    for (unsigned i = 0; i < connections_; ++i) {
      std::thread next = try_thread([this] { work(); });
      if (!next.joinable()) return;  // fewer read as well, and so does this one
      threads_.push_back(std::move(next));
    }
  }

  /// False where that ended it.
  bool read(std::size_t slot) {
    const ByteRange part = slots_[slot].part;
    PartReceiver receiver(source_, target_, slot, part);
    const RangeOutcome outcome = source_.transport.get_range(source_.url, source_.pinned,
                                                             part.offset, part.length, receiver);
    if (outcome != RangeOutcome::complete) {
      end(outcome, nullptr);
      return false;
    }
    if (!receiver.whole()) throw std::logic_error("a range shorter than asked for");
    hand_over(slot);
    return true;
  }

  /// Where there is no other thread.
  std::optional<std::size_t> read_next() {
    const auto slot = claim();
    if (!slot || !read(*slot)) return std::nullopt;
    return slot;
  }

  void work() noexcept {
    try {
      while (const auto slot = claim()) {
        if (!read(*slot)) return;
      }
    } catch (const Stopped&) {
      end(RangeOutcome::complete, nullptr);
    } catch (...) {
      end(RangeOutcome::complete, std::current_exception());
    }
  }

  /// The slot of the next part, once there is room for it; nothing at the end.
  std::optional<std::size_t> claim() {
    std::unique_lock lock(mutex_);
    room_.wait(
        lock, [&] { return ended_ || parts_.exhausted() || claimed_ - consumed_ < slots_.size(); });
    if (ended_ || parts_.exhausted()) return std::nullopt;
    const std::size_t slot = claimed_++ % slots_.size();
    slots_[slot] = {parts_.next(), false};
    return slot;
  }

  void hand_over(std::size_t slot) {
    const std::lock_guard lock(mutex_);
    slots_[slot].whole = true;
    if (slot == consumed_ % slots_.size()) whole_.notify_one();
  }

  /// The slot of the part whose turn it is, once it is whole; nothing at the end.
  std::optional<std::size_t> wait_for_next() {
    std::unique_lock lock(mutex_);
    const std::size_t slot = consumed_ % slots_.size();
    const auto all_consumed = [&] { return parts_.exhausted() && consumed_ == claimed_; };
    whole_.wait(lock, [&] { return ended_ || slots_[slot].whole || all_consumed(); });
    if (ended_ || !slots_[slot].whole) return std::nullopt;
    return slot;
  }

  void give_back(std::size_t slot) {
    const std::lock_guard lock(mutex_);
    slots_[slot].whole = false;
    ++consumed_;
    room_.notify_one();
    if (parts_.exhausted()) room_.notify_all();
  }

  /// The first call is what is told; it ends every thread.
  void end(RangeOutcome outcome, std::exception_ptr failure) noexcept {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
      outcome_ = outcome;
      failure_ = std::move(failure);
    }
    ended_ = true;
    source_.stop.request();
    room_.notify_all();
    whole_.notify_all();
  }

  void join() noexcept {
    if (threads_.empty()) return source_.stop.clear();
    end(RangeOutcome::complete, nullptr);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    source_.stop.clear();
  }

  const RangedSource& source_;
  PartTarget& target_;
  Parts parts_;
  unsigned connections_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable whole_;
  std::vector<Slot> slots_;
  std::size_t claimed_ = 0;
  std::size_t consumed_ = 0;
  bool ended_ = false;
  RangeOutcome outcome_ = RangeOutcome::complete;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

std::uint64_t whole_mib(std::uint64_t bytes) {
  return (bytes + k_mib - 1) / k_mib * k_mib;
}

}  // namespace

std::uint64_t one_request_bytes(const RangeWishes& wishes) {
  return wishes.part_bytes.value_or(k_one_request_bytes);
}

RangePlan plan_ranges(std::uint64_t size_bytes, const RangeWishes& wishes, PartsIn parts) {
  RangePlan plan;
  const unsigned busy =
      std::clamp(wishes.connections_a_processor * usable_processors(), 2U, k_most_connections);
  std::uint64_t useful = std::clamp<std::uint64_t>(size_bytes / (4 * k_mib), 2, busy);
  if (wishes.bytes_per_second) {
    useful = std::clamp<std::uint64_t>(*wishes.bytes_per_second / k_mib, 1, useful);
  }
  plan.connections = wishes.connections.value_or(static_cast<unsigned>(useful));
  plan.window = plan.connections + (plan.connections + 1) / 2;
  std::uint64_t most = k_max_part_bytes;
  if (parts == PartsIn::memory) {
    most = std::clamp(k_memory_window_bytes / plan.window / k_mib * k_mib, k_mib, most);
  }
  plan.part_bytes = wishes.part_bytes.value_or(std::clamp(whole_mib(size_bytes / 64), k_mib, most));
  if (parts == PartsIn::file) {
    plan.window = std::max<std::size_t>(plan.window, k_file_window_bytes / plan.part_bytes);
  }
  return plan;
}

RangeOutcome read_ranges(const RangedSource& source, const std::vector<ByteRange>& ranges,
                         const RangePlan& plan, PartTarget& target, Progress& progress) {
  return RangedRead(source, ranges, plan, target).run(progress);
}

}  // namespace mad
