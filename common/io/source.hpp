#pragma once

#include "io/fd.hpp"

namespace mad {

/// A sequence of bytes that is read once, in order.
class Source {
 public:
  virtual ~Source() = default;
  /// At least one byte, or 0 at the end.
  virtual std::size_t read(MutableBytes into) = 0;
};

/// Standard input or any other descriptor, which it does not own.
class FdSource final : public Source {
 public:
  FdSource(int fd, std::string subject) : fd_(fd), subject_(std::move(subject)) {}
  std::size_t read(MutableBytes into) override { return read_some(fd_, into, subject_); }

 private:
  int fd_;
  std::string subject_;
};

}  // namespace mad
