#pragma once

#include <algorithm>

#include "io/fd.hpp"

namespace mad {

/// Where bytes go, in order.  All-or-nothing: finish() makes them count, and
/// destruction without finish() leaves nothing behind.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(Bytes bytes) = 0;
  virtual void finish() = 0;
};

/// A sink whose buffer is filled in place: what is read for it is not copied again.
class BufferedSink : public Sink {
 public:
  /// At least one byte of room for the next bytes.
  virtual MutableBytes room() = 0;
  /// The next `n` bytes are in room().
  virtual void filled(std::size_t n) = 0;
  void write(Bytes bytes) override {
    while (!bytes.empty()) {
      const MutableBytes free = room();
      const std::size_t n = std::min(free.size(), bytes.size());
      std::copy_n(bytes.begin(), n, free.begin());
      filled(n);
      bytes = bytes.subspan(n);
    }
  }
};

/// Standard output or any other descriptor, which it does not own.  A stream
/// cannot take bytes back; what makes one all-or-nothing is the bundle's seal.
class FdSink final : public Sink {
 public:
  FdSink(int fd, std::string subject) : fd_(fd), subject_(std::move(subject)) {}
  void write(Bytes bytes) override { write_full(fd_, bytes, subject_); }
  void finish() override {}

 private:
  int fd_;
  std::string subject_;
};

}  // namespace mad
