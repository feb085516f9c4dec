#pragma once

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
