#include "verify/relay.hpp"

#include <stdexcept>
#include <utility>

#include "base/thread.hpp"

namespace mad {

Relay::Relay(std::size_t buffer_bytes, std::size_t buffers)
    : buffer_bytes_(buffer_bytes), free_(buffers), jobs_(buffers + 4) {
  for (std::size_t i = 0; i < buffers; ++i) {
    // Not zeroed: a small stream never touches most of it.
    buffers_.push_back(std::make_unique_for_overwrite<std::byte[]>(buffer_bytes));
    free_.push(buffers_.back().get());
  }
  thread_ = try_thread([this] { run(); });
  at_once_ = !thread_.joinable();
}

Relay::~Relay() {
  dropping_ = true;
  end();
}

void Relay::run() noexcept {
  try {
    while (auto job = jobs_.pop()) {
      if (!dropping_) (*job)();
    }
  } catch (...) {
    failure_ = std::current_exception();
    // Wakes whoever waits for a buffer or for room.
    jobs_.close();
    free_.close();
  }
}

void Relay::end() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

void Relay::drain() {
  end();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

MutableBytes Relay::buffer() {
  if (current_ == nullptr) {
    const auto next = free_.pop();
    if (!next) {
      drain();
      throw std::logic_error("Relay: used after its end");
    }
    current_ = *next;
  }
  return {current_, buffer_bytes_};
}

void Relay::post_buffer(std::size_t length, std::function<void(Bytes)> job) {
  std::byte* const data = std::exchange(current_, nullptr);
  post([this, data, length, job = std::move(job)] {
    job(Bytes(data, length));
    free_.push(data);
  });
}

void Relay::post(std::function<void()> job) {
  if (at_once_) {
    job();
  } else if (!jobs_.push(std::move(job))) {
    drain();
  }
}

}  // namespace mad
