#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "npz/state_tree.hpp"

namespace mad {

/// The CRC-32 of each array of a state, found out ahead of the writer that needs it
/// for a local header, by a thread of its own.  A writer that has to wait for one
/// works on it too, so that one large array takes both.
class CrcAhead {
 public:
  /// Of the arrays from the one at `first` on.
  /// `read`, where there is one, is told how many bytes more were read, by tell() and take().
  CrcAhead(const StateTree& tree, std::size_t first,
           const std::function<void(std::uint64_t)>& read);
  ~CrcAhead();
  CrcAhead(const CrcAhead&) = delete;
  CrcAhead& operator=(const CrcAhead&) = delete;

  /// Of the array at `index`; to be called with each index in turn, from the first.  Rethrows what
  /// the thread met.
  std::uint32_t take(std::size_t index);
  void tell();

 private:
  struct Piece {
    std::size_t array;
    std::uint64_t offset;
    std::uint64_t length;
    /// Bytes of the whole state before it.
    std::uint64_t position;
    std::uint32_t crc32;
  };
  struct Worker;

  void run() noexcept;
  bool may_start(std::size_t piece) const;
  /// Computes the next piece; the lock is released meanwhile.
  void compute_next(std::unique_lock<std::mutex>& lock, Worker& worker);

  const StateTree& tree_;
  const std::function<void(std::uint64_t)>& read_;
  /// Not told yet.
  std::atomic<std::uint64_t> read_bytes_ = 0;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> pieces_left_;
  std::vector<std::size_t> first_piece_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t next_ = 0;
  std::size_t wanted_ = 0;
  bool stopped_ = false;
  std::exception_ptr failure_;
  std::unique_ptr<Worker> helper_;
  std::thread thread_;
};

/// Refuses an array of which fewer bytes were read than its header promised.
[[noreturn]] void refuse_shrunk(const StateArray& array, std::uint64_t found);

}  // namespace mad
