#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/fd.hpp"
#include "npz/zip_format.hpp"

namespace mad {

/// How the errors of these readers name the file; who reports them knows its path.
inline constexpr const char* k_npz_subject = "the npz";

/// Looks at records of a file, small ones of which many stand close together.
class ArchiveWindow {
 public:
  /// `file` must outlive it.
  ArchiveWindow(int file, std::uint64_t size_bytes) : file_(file), size_bytes_(size_bytes) {}

  std::uint64_t size_bytes() const { return size_bytes_; }
  /// `length` bytes, fewer at the end of the file; gone with the next call.
  Bytes view(std::uint64_t offset, std::size_t length);
  /// The same, to be kept.
  std::vector<std::byte> read(std::uint64_t offset, std::size_t length) const;
  /// Nothing where none that can be read stands there; one of more than 4 KiB is none.
  std::optional<zip::LocalHeader> local_header(std::uint64_t offset);
  /// The first place from `offset` on where a local header's signature stands.
  std::optional<std::uint64_t> find_local_signature(std::uint64_t offset);

 private:
  int file_;
  std::uint64_t size_bytes_;
  std::vector<std::byte> window_;
  std::uint64_t offset_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace mad
