#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace mad {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Owns a file descriptor; -1 is none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  /// Closes and reports what close(2) says (NFS and quotas fail there).
  /// Throws output_error.
  void close(const std::string& subject);

 private:
  int fd_ = -1;
};

/// Returns when `fd` is ready for `events` (poll(2)) or has failed; a signal throws.
void wait_ready(int fd, short events);

/// At least one byte, or 0 at end of file.  Waits on pipes, terminals and sockets
/// so that a signal ends the wait.  Throws system_error, Interrupted.
std::size_t read_some(int fd, MutableBytes into, const std::string& subject);

/// As many bytes as `into` holds, fewer only at end of file.
std::size_t read_full(int fd, MutableBytes into, const std::string& subject);

/// The same at `offset` of a regular file; does not move its position.
std::size_t pread_full(int fd, MutableBytes into, std::uint64_t offset, const std::string& subject);

/// All of `bytes`.  A reader that went away (EPIPE) throws Interrupted{SIGPIPE}:
/// the tool then ends as a filter does.  Throws output_error, Interrupted.
void write_full(int fd, Bytes bytes, const std::string& subject);
void pwrite_full(int fd, Bytes bytes, std::uint64_t offset, const std::string& subject);

}  // namespace mad
