#include "verify/archive_window.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/interrupt.hpp"

namespace mad {
namespace {

constexpr std::size_t k_window_bytes = std::size_t{16} << 10U;
/// Of a local header; less than the window, so that none of many in a row reads it anew.
constexpr std::size_t k_max_header_bytes = std::size_t{4} << 10U;

}  // namespace

Bytes ArchiveWindow::view(std::uint64_t offset, std::size_t length) {
  if (offset >= size_bytes_) return {};
  length = static_cast<std::size_t>(std::min<std::uint64_t>(length, size_bytes_ - offset));
  if (offset < offset_ || offset - offset_ > filled_ || length > filled_ - (offset - offset_)) {
    window_.resize(std::max({window_.size(), length, k_window_bytes}));
    offset_ = offset;
    filled_ = pread_full(file_, window_, offset, k_npz_subject);
  }
  const auto at = static_cast<std::size_t>(offset - offset_);
  return Bytes(window_).subspan(at, std::min(length, filled_ - at));
}

std::vector<std::byte> ArchiveWindow::read(std::uint64_t offset, std::size_t length) const {
  if (offset >= size_bytes_) return {};
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(std::min<std::uint64_t>(length, size_bytes_ - offset)));
  bytes.resize(pread_full(file_, bytes, offset, k_npz_subject));
  return bytes;
}

std::optional<zip::LocalHeader> ArchiveWindow::local_header(std::uint64_t offset) {
  const Bytes start = view(offset, zip::k_local_bytes);
  if (start.size() < zip::k_local_bytes || zip::get32(start, 0) != zip::k_local_signature) {
    return std::nullopt;
  }
  const std::size_t length = zip::local_header_bytes(start);
  if (length > k_max_header_bytes) return std::nullopt;
  try {
    return zip::parse_local(view(offset, length), k_npz_subject);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<std::uint64_t> ArchiveWindow::find_local_signature(std::uint64_t offset) {
  constexpr std::string_view k_signature = "PK\3\4";
  while (offset < size_bytes_) {
    check_interrupted();
    const std::string_view text = as_text(view(offset, k_max_header_bytes));
    const auto at = text.find(k_signature);
    if (at != std::string_view::npos) return offset + at;
    if (text.size() < k_signature.size()) break;
    offset += text.size() - (k_signature.size() - 1);
  }
  return std::nullopt;
}

}  // namespace mad
