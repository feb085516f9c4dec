#include "exchange/part_sender.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"
#include "hash/nested_sha256.hpp"
#include "io/bounded_queue.hpp"

namespace mad {
namespace {

using PartBuffer = std::unique_ptr<std::byte[]>;

struct FullPart {
  std::byte* data = nullptr;
  std::size_t length = 0;
  std::uint32_t index = 0;
  std::optional<Digest> sha256;
};

SendPlan plan_for(const Capabilities& store, std::optional<std::uint64_t> size_bytes,
                  const SendPlan& wished) {
  SendPlan plan = wished;
  plan.part_bytes = part_bytes_for(store, size_bytes, wished.part_bytes);
  if (!store.parts_in_parallel) plan.connections = 1;
  if (size_bytes) {
    const std::uint64_t parts = *size_bytes / plan.part_bytes + 1;
    plan.connections = static_cast<unsigned>(std::min<std::uint64_t>(plan.connections, parts));
  }
  return plan;
}

/// The digests of the whole, the chunks and, where one pass can have them too, the parts.
class PassingDigests {
 public:
  PassingDigests(std::uint64_t chunk_bytes, std::optional<std::uint64_t> part_bytes)
      : chunk_bytes_(chunk_bytes),
        piece_bytes_(part_bytes && can_nest(chunk_bytes, *part_bytes) ? *part_bytes : chunk_bytes),
        has_parts_(piece_bytes_ == part_bytes),
        hash_(std::min(chunk_bytes_, piece_bytes_), std::max(chunk_bytes_, piece_bytes_)) {}

  void update(Bytes bytes) { hash_.update(bytes); }

  /// Of a part that has gone by, where it is known.
  std::optional<Digest> part(std::size_t index) const {
    if (!has_parts_) return std::nullopt;
    return (piece_bytes_ < chunk_bytes_ ? hash_.inner() : hash_.outer()).at(index);
  }

  const FileDigests& finish() {
    if (!all_) {
      all_.emplace();
      all_->size_bytes = hash_.length_bytes();
      all_->sha256 = hash_.finish();
      all_->chunks = {chunk_bytes_, chunk_bytes_ > piece_bytes_ ? hash_.outer() : hash_.inner()};
    }
    return *all_;
  }

 private:
  static bool can_nest(std::uint64_t one, std::uint64_t other) {
    const std::uint64_t inner = std::min(one, other);
    return inner % 64 == 0 && std::max(one, other) % inner == 0;
  }

  std::uint64_t chunk_bytes_;
  std::uint64_t piece_bytes_;
  bool has_parts_;
  NestedSha256 hash_;
  std::optional<FileDigests> all_;
};

}  // namespace

struct PartSender::State {
  State(const SendTarget& where, const PutOptions& how, std::optional<std::uint64_t> size,
        const SendPlan& wished, std::uint64_t chunk_bytes)
      : target(where),
        options(how),
        size_bytes(size),
        store(where.transport.capabilities()),
        plan(plan_for(store, size, wished)),
        digests(chunk_bytes, store.part_sha256 ? std::optional(plan.part_bytes) : std::nullopt),
        free(plan.connections + 1),
        full(plan.connections + 1) {}

  ~State() { stop_threads(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void begin();
  void work() noexcept;
  void send(const FullPart& part);
  void post();
  void take_buffer();
  void fail(std::exception_ptr why) noexcept;
  void check();
  void join() noexcept;
  void stop_threads() noexcept;

  SendTarget target;
  PutOptions options;
  std::optional<std::uint64_t> size_bytes;
  Capabilities store;
  SendPlan plan;
  PassingDigests digests;

  std::unique_ptr<Upload> upload;
  std::vector<PartBuffer> buffers;
  BoundedQueue<std::byte*> free;
  BoundedQueue<FullPart> full;
  std::vector<std::thread> threads;
  std::byte* current = nullptr;
  std::size_t current_bytes = 0;
  std::uint32_t next_index = 0;
  std::uint64_t sent_bytes = 0;

  std::mutex mutex;
  std::exception_ptr failure;
};

void PartSender::State::begin() {
  upload = target.transport.begin_upload(target.url, options, size_bytes);
  for (unsigned i = 0; i < plan.connections; ++i) {
    std::thread next = try_thread([this] { work(); });
    if (!next.joinable()) return;  // fewer send as well, and so does this one
    threads.push_back(std::move(next));
  }
}

void PartSender::State::send(const FullPart& part) {
  if (target.limit != nullptr) target.limit->take(part.length, &target.stop);
  upload->put_part(part.index, Bytes(part.data, part.length), part.sha256);
}

void PartSender::State::work() noexcept {
  try {
    while (const auto part = full.pop()) {
      send(*part);
      free.push(part->data);
    }
  } catch (const Stopped&) {
    fail(nullptr);
  } catch (...) {
    fail(std::current_exception());
  }
}

void PartSender::State::fail(std::exception_ptr why) noexcept {
  {
    const std::lock_guard lock(mutex);
    if (!failure) failure = std::move(why);
  }
  target.stop.request();
  full.close();
  free.close();
}

void PartSender::State::join() noexcept {
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

/// Ends the calls under way; the transport can then be used again.
void PartSender::State::stop_threads() noexcept {
  if (threads.empty()) return;
  fail(nullptr);
  join();
  target.stop.clear();
}

/// Throws what ended a thread.
void PartSender::State::check() {
  {
    const std::lock_guard lock(mutex);
    if (!failure) return;
  }
  stop_threads();
  std::rethrow_exception(failure);
}

void PartSender::State::take_buffer() {
  current_bytes = 0;
  if (buffers.size() <= plan.connections) {
    buffers.push_back(PartBuffer(new std::byte[plan.part_bytes]));
    current = buffers.back().get();
    return;
  }
  const auto next = free.pop();
  check();
  current = next.value_or(nullptr);
}

void PartSender::State::post() {
  if (!upload) begin();
  if (next_index == store.max_parts) {
    throw Error(ExitCode::refused, "too-large", display_url(target.url),
                "expected at most " + std::to_string(store.max_parts) + " parts of " +
                    std::to_string(plan.part_bytes) + " bytes, found more",
                "--part-size makes them larger");
  }
  const FullPart part{current, current_bytes, next_index, digests.part(next_index)};
  ++next_index;
  current = nullptr;
  if (threads.empty()) {
    send(part);
    free.push(part.data);
  } else {
    full.push(part);
  }
  check();
}

PartSender::PartSender(const SendTarget& target, const PutOptions& options,
                       std::optional<std::uint64_t> size_bytes, const SendPlan& plan,
                       std::uint64_t chunk_bytes)
    : state_(std::make_unique<State>(target, options, size_bytes, plan, chunk_bytes)) {}

PartSender::~PartSender() = default;

MutableBytes PartSender::room() {
  State& s = *state_;
  if (s.current != nullptr && s.current_bytes == s.plan.part_bytes) s.post();
  if (s.current == nullptr) s.take_buffer();
  return {s.current + s.current_bytes,
          static_cast<std::size_t>(s.plan.part_bytes) - s.current_bytes};
}

void PartSender::filled(std::size_t n) {
  State& s = *state_;
  s.digests.update(Bytes(s.current + s.current_bytes, n));
  s.current_bytes += n;
  s.sent_bytes += n;
}

std::uint64_t PartSender::sent_bytes() const {
  return state_->sent_bytes;
}

const SendPlan& PartSender::plan() const {
  return state_->plan;
}

const FileDigests& PartSender::digests() {
  return state_->digests.finish();
}

void PartSender::drain() {
  State& s = *state_;
  s.digests.finish();
  if (!s.upload && s.sent_bytes > s.store.max_put_bytes) s.begin();
  if (!s.upload) return;
  if (s.current != nullptr && s.current_bytes > 0) s.post();
  s.full.close();
  s.join();
  s.check();
}

std::optional<ObjectInfo> PartSender::finish(const Metadata& metadata) {
  State& s = *state_;
  drain();
  if (!s.upload) {
    PutOptions options = s.options;
    for (const auto& [name, value] : metadata) options.metadata[name] = value;
    if (s.target.limit != nullptr) s.target.limit->take(s.current_bytes, nullptr);
    return s.target.transport.put(s.target.url, Bytes(s.current, s.current_bytes), options);
  }
  const Metadata late = s.store.late_metadata ? metadata : Metadata{};
  auto info = s.upload->finish(late);
  s.upload.reset();
  return info;
}

}  // namespace mad
