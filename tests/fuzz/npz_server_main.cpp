// mad-npz-server: for each archive on standard input (its length, 4 bytes, the lowest first,
// and its bytes) one line of JSON on standard output: `reason` and `message` of the refusal,
// or `arrays`, each with key, descr, fortran_order, shape and, in hexadecimal, its `.npy`.
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/error.hpp"
#include "base/text.hpp"
#include "fuzz/fuzz.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/npz_reader.hpp"
#include "npz/zip_format.hpp"

namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view k_digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += k_digits[byte >> 4U];
    text += k_digits[byte & 15U];
  }
  return text;
}

std::string describe(const mad::NpzMember& member, const std::string& npy) {
  std::string shape;
  for (const std::uint64_t extent : member.header.shape) {
    shape += (shape.empty() ? "" : ",") + std::to_string(extent);
  }
  return "{\"key\":" + mad::json_quote(member.key) +
         ",\"descr\":" + mad::json_quote(member.header.descr) +
         ",\"fortran_order\":" + (member.header.fortran_order ? "true" : "false") + ",\"shape\":[" +
         shape + "],\"npy\":\"" + hex(npy) + "\"}";
}

std::string answer(std::string_view archive) {
  const mad::Fd file = mad::fuzz::file_of(archive);
  try {
    const auto members = mad::audit_npz(file.get(), archive.size(), {}, "sim.npz");
    mad::check_npz_data(file.get(), members, "sim.npz");
    std::string arrays;
    for (const mad::NpzMember& member : members) {
      const auto source = mad::open_member(file.get(), member, "sim.npz");
      arrays += (arrays.empty() ? "" : ",") + describe(member, mad::fuzz::read_rest(*source));
    }
    return "{\"arrays\":[" + arrays + "]}\n";
  } catch (const mad::Error& error) {
    return "{\"reason\":" + mad::json_quote(error.reason) +
           ",\"message\":" + mad::json_quote(error.what()) + "}\n";
  }
}

}  // namespace

int main() {
  std::array<std::byte, 4> length{};
  while (mad::read_full(STDIN_FILENO, length, "standard input") == length.size()) {
    std::string archive(mad::zip::get32(length, 0), '\0');
    const auto bytes = std::as_writable_bytes(std::span(archive));
    if (mad::read_full(STDIN_FILENO, bytes, "standard input") < archive.size()) return 1;
    mad::write_full(STDOUT_FILENO, mad::as_bytes(answer(archive)), "standard output");
  }
  return 0;
}
