#include "npz/crc_ahead.hpp"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "base/error.hpp"
#include "base/thread.hpp"
#include "hash/crc32.hpp"

namespace mad {
namespace {

constexpr std::size_t k_buffer_bytes = std::size_t{256} << 10U;
/// How far the thread may run ahead: pages read too early are gone again when the
/// writer comes, where the state is larger than memory.
constexpr std::uint64_t k_ahead_bytes = std::uint64_t{512} << 20U;

}  // namespace

/// What one thread holds from piece to piece.
struct CrcAhead::Worker {
  std::vector<std::byte> buffer;
  std::size_t array = SIZE_MAX;
  Fd fd;
};

void refuse_shrunk(const StateArray& array, std::uint64_t found) {
  throw Error(ExitCode::refused, "state-changed", printable(array.key) + ".npy",
              "changed while it was read: expected " + std::to_string(array.size_bytes) +
                  " bytes, found " + std::to_string(found));
}

CrcAhead::CrcAhead(const StateTree& tree, std::size_t first,
                   const std::function<void(std::uint64_t)>& read)
    : tree_(tree), read_(read), wanted_(first), helper_(std::make_unique<Worker>()) {
  const auto& arrays = tree.arrays();
  std::uint64_t total = 0;
  for (std::size_t i = first; i < arrays.size(); ++i) total += arrays[i].size_bytes;
  const std::uint64_t most = std::max<std::uint64_t>(std::uint64_t{8} << 20U, total / 4096);
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    first_piece_.push_back(pieces_.size());
    const std::uint64_t size = i < first ? 0 : arrays[i].size_bytes;
    for (std::uint64_t offset = 0; offset < size; offset += most) {
      const std::uint64_t length = std::min(most, size - offset);
      pieces_.push_back({i, offset, length, position, 0});
      position += length;
    }
    pieces_left_.push_back(pieces_.size() - first_piece_.back());
  }
  // Less than this is sooner read than a thread is started.
  constexpr std::uint64_t k_worth_a_thread = std::uint64_t{1} << 20U;
  if (total >= k_worth_a_thread) thread_ = try_thread([this] { run(); });
}

CrcAhead::~CrcAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool CrcAhead::may_start(std::size_t piece) const {
  if (pieces_[piece].array <= wanted_) return true;
  const std::size_t first = first_piece_[wanted_];
  return pieces_[piece].position < pieces_[first].position + k_ahead_bytes;
}

void CrcAhead::run() noexcept {
  Worker worker;
  std::unique_lock lock(mutex_);
  try {
    while (!stopped_ && next_ < pieces_.size()) {
      if (may_start(next_)) {
        compute_next(lock, worker);
      } else {
        changed_.wait(lock);
      }
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

void CrcAhead::compute_next(std::unique_lock<std::mutex>& lock, Worker& worker) {
  Piece& piece = pieces_[next_++];
  lock.unlock();
  const StateArray& array = tree_.arrays()[piece.array];
  if (worker.buffer.empty()) worker.buffer.resize(k_buffer_bytes);
  if (worker.array != piece.array) {
    worker.fd = tree_.open(array);
    worker.array = piece.array;
  }
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < piece.length;) {
    const auto want = static_cast<std::size_t>(
        std::min<std::uint64_t>(worker.buffer.size(), piece.length - done));
    const std::size_t got = pread_full(worker.fd.get(), MutableBytes(worker.buffer).first(want),
                                       piece.offset + done, array.key);
    if (got < want) refuse_shrunk(array, piece.offset + done + got);
    crc = mad::crc32(crc, Bytes(worker.buffer).first(got));
    done += got;
    read_bytes_.fetch_add(got, std::memory_order_relaxed);
  }
  lock.lock();
  piece.crc32 = crc;
  if (--pieces_left_[piece.array] == 0) changed_.notify_all();
}

void CrcAhead::tell() {
  if (read_) read_(read_bytes_.exchange(0, std::memory_order_relaxed));
}

std::uint32_t CrcAhead::take(std::size_t index) {
  std::unique_lock lock(mutex_);
  wanted_ = index;
  changed_.notify_all();
  while (pieces_left_[index] > 0) {
    tell();
    if (failure_) std::rethrow_exception(failure_);
    if (next_ < pieces_.size() && pieces_[next_].array <= index) {
      compute_next(lock, *helper_);
    } else {
      changed_.wait(lock);
    }
  }
  std::uint32_t crc = 0;
  for (std::size_t i = first_piece_[index]; i < pieces_.size() && pieces_[i].array == index; ++i) {
    crc = pieces_[i].offset == 0
              ? pieces_[i].crc32
              : static_cast<std::uint32_t>(
                    crc32_combine(crc, pieces_[i].crc32, static_cast<z_off_t>(pieces_[i].length)));
  }
  return crc;
}

}  // namespace mad
