#pragma once

#include <cstdint>

#include "io/fd.hpp"

namespace mad {

/// A sequence of bytes that is read once, in order.
class Source {
 public:
  virtual ~Source() = default;
  /// At least one byte, or 0 at the end.
  virtual std::size_t read(MutableBytes into) = 0;
  /// At least one byte and at most `most`, written to a regular file at `offset`, or
  /// 0 at the end.  Throws output_error about `subject` where the file does not take it.
  virtual std::size_t read_into_file(int file, std::uint64_t offset, std::size_t most,
                                     const std::string& subject);
};

/// Standard input or any other descriptor, which it does not own.
class FdSource final : public Source {
 public:
  FdSource(int fd, std::string subject) : fd_(fd), subject_(std::move(subject)) {}
  std::size_t read(MutableBytes into) override { return read_some(fd_, into, subject_); }
  /// From a pipe the kernel copies straight into the file (splice(2)), by a pipe of its own:
  /// while the file takes what is in one, its writer fills the other.
  std::size_t read_into_file(int file, std::uint64_t offset, std::size_t most,
                             const std::string& subject) override;

 private:
  /// False where there is none to be had.
  bool open_relay();
  void empty_relay(int file, std::uint64_t offset, std::size_t length, const std::string& subject);

  int fd_;
  std::string subject_;
  bool can_splice_ = true;
  Fd relay_in_;
  Fd relay_out_;
};

}  // namespace mad
