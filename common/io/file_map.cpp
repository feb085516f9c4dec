#include "io/file_map.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace mad {
namespace {

std::uint64_t page_bytes() {
  static const auto bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

ByteRange with_whole_pages(const ByteRange& range) {
  const std::uint64_t before = range.offset % page_bytes();
  return {range.offset - before, range.length + before};
}

}  // namespace

FileMap::FileMap(int file, const ByteRange& range) : mapped_(with_whole_pages(range)) {
  void* const address = mmap(nullptr, mapped_.length, PROT_READ, MAP_SHARED, file,
                             static_cast<off_t>(mapped_.offset));
  if (address != MAP_FAILED) address_ = static_cast<std::byte*>(address);
}

FileMap::~FileMap() {
  if (address_ != nullptr) munmap(address_, mapped_.length);
}

MutableBytes FileMap::pages(const ByteRange& range) const {
  const ByteRange whole = with_whole_pages(range);
  return {address_ + (whole.offset - mapped_.offset), static_cast<std::size_t>(whole.length)};
}

std::optional<Bytes> FileMap::load(const ByteRange& range) {
  if (address_ == nullptr) return std::nullopt;
  const MutableBytes there = pages(range);
  // Unlike a touch it tells of a page that cannot be had by its result.
  if (madvise(there.data(), there.size(), MADV_POPULATE_READ) != 0) return std::nullopt;
  return there.last(static_cast<std::size_t>(range.length));
}

void FileMap::unload(const ByteRange& range) noexcept {
  const MutableBytes there = pages(range);
  madvise(there.data(), there.size(), MADV_DONTNEED);
}

}  // namespace mad
