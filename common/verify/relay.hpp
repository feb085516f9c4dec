#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "io/bounded_queue.hpp"
#include "io/fd.hpp"

namespace mad {

/// Runs jobs in order on a thread of its own (at once where none can be started), and hands them
/// bytes in a few buffers that go round, so that memory stays bounded and is touched for the first
/// time once.
///
/// What a job throws ends the relay; the next call on it throws that.  All calls come
/// from one thread.  Destruction drops the jobs that have not begun.
class Relay {
 public:
  Relay(std::size_t buffer_bytes, std::size_t buffers);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::size_t buffer_bytes() const { return buffer_bytes_; }
  /// A free buffer of buffer_bytes(), waited for; the same one until it is posted.
  MutableBytes buffer();
  /// Posts the first `length` bytes of buffer() as `job`'s argument.
  void post_buffer(std::size_t length, std::function<void(Bytes)> job);
  void post(std::function<void()> job);
  /// Waits until every job is done.  Nothing may be posted afterwards.
  void drain();

 private:
  void run() noexcept;
  void end();

  using Buffer = std::unique_ptr<std::byte[]>;
  std::size_t buffer_bytes_;
  std::vector<Buffer> buffers_;
  std::byte* current_ = nullptr;
  BoundedQueue<std::byte*> free_;
  BoundedQueue<std::function<void()>> jobs_;
  std::atomic<bool> dropping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
  /// There is no thread, and was none.
  bool at_once_ = false;
};

}  // namespace mad
