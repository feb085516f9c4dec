#include "npz/npy_header.hpp"

#include <optional>

#include "fuzz/fuzz.hpp"

// The `.npy` header, alone and with what follows it.

namespace {

std::optional<mad::NpyHeader> parsed(std::string_view text) {
  std::optional<mad::NpyHeader> header;
  mad::fuzz::refuses([&] { header = mad::parse_npy_header(mad::as_bytes(text), "ball/x.npy"); });
  return header;
}

bool same(const mad::NpyHeader& a, const mad::NpyHeader& b) {
  return a.descr == b.descr && a.fortran_order == b.fortran_order && a.shape == b.shape &&
         a.item_bytes == b.item_bytes && a.header_bytes == b.header_bytes &&
         a.data_bytes == b.data_bytes;
}

}  // namespace

MAD_FUZZ_TARGET(npy_header) {
  using mad::fuzz::require;
  const std::string_view preamble = input.substr(0, mad::k_npy_preamble_bytes);
  const std::size_t needed = mad::npy_header_bytes_needed(mad::as_bytes(preamble));
  require(needed <= mad::k_max_npy_header_bytes, "what is needed is bounded");
  const auto header = parsed(input);
  const auto from_needed = parsed(input.substr(0, needed));
  require(header.has_value() == from_needed.has_value(), "what is needed is enough");
  if (!header) return;
  require(same(*header, *from_needed), "what is needed tells all");
  require(header->header_bytes <= input.size(), "a header lies within its bytes");
  const auto alone = parsed(input.substr(0, header->header_bytes));
  require(alone && same(*header, *alone), "what follows a header does not matter");
  require(!parsed(input.substr(0, header->header_bytes - 1)), "a header cut short is none");

  std::uint64_t bytes = header->item_bytes;
  for (const std::uint64_t length : header->shape) {
    require(!__builtin_mul_overflow(bytes, length, &bytes) || header->data_bytes == 0,
            "the size of an array does not wrap");
  }
  require(bytes == header->data_bytes || header->data_bytes == 0, "the size is the product");
  require(header->data_bytes <= INT64_MAX, "the size fits");

  // As a writer would put it, it says the same.
  std::string text = "{'descr': " + header->descr + ", 'fortran_order': ";
  text += header->fortran_order ? "True" : "False";
  text += ", 'shape': " + mad::format_shape(header->shape) + ", }\n";
  if (text.size() > 10'000) return;
  std::string again("\x93NUMPY\x03\x00", 8);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    again += static_cast<char>(static_cast<unsigned char>(text.size() >> shift));
  }
  auto written = parsed(again += text);
  require(written.has_value(), "a header written again is one");
  written->header_bytes = header->header_bytes;
  require(same(*header, *written), "a header written again is the same");
}
