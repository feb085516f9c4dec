#pragma once

#include <cstdint>
#include <optional>

#include "io/byte_range.hpp"
#include "io/fd.hpp"

namespace mad {

/// A part of a file to look at in memory, without a copy of it.
///
/// Only for a file that is this process's own: where somebody shortens it between load() and
/// the look, the process ends (SIGBUS, mmap(2)).
class FileMap {
 public:
  /// Costs no memory by itself.  Where the system does not map such a file, load() says so.
  FileMap(int file, const ByteRange& range);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  /// `range`, within the one that is mapped, once all of it is in memory; nothing where that
  /// cannot be (the file is shorter, or unreadable, or the kernel older than 5.14): reading
  /// it tells why.  Good until unload() and destruction.
  std::optional<Bytes> load(const ByteRange& range);
  /// No longer counted as this process's memory; the page cache keeps it.
  void unload(const ByteRange& range) noexcept;

 private:
  MutableBytes pages(const ByteRange& range) const;

  ByteRange mapped_;
  std::byte* address_ = nullptr;
};

}  // namespace mad
