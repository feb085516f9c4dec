#pragma once

#include <sys/mman.h>
#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hash/crc32.hpp"
#include "io/fd.hpp"
#include "npz/zip_format.hpp"
#include "support/catch.hpp"

// Archives with any defect, made byte by byte and apart from the writer under test.
namespace mad::test {

/// A .npy 1.0 file; the header text is padded as NumPy does.
inline std::string npy_with_header(std::string text, const std::string& data) {
  while ((10 + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  zip::put16(out, text.size());
  return out + text + data;
}

inline std::string npy(const std::string& descr, const std::string& shape,
                       const std::string& data) {
  return npy_with_header(
      "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }", data);
}

inline std::string small_npy() {
  return npy("'<i4'", "(2,)", std::string("\1\0\0\0\2\0\0\0", 8));
}

inline std::string deflate_raw(const std::string& data) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, data.size()), '\0');
  std::string in = data;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct RawMember {
  std::string name = "ball/x.npy";
  std::string npy = small_npy();
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
  std::uint32_t external = 0x81A40000;
  std::string local_extra;
  std::string central_extra;
  std::string descriptor;
  /// Bytes before the local header that belong to nothing.
  std::string gap;
  /// What stands in the archive in place of the data.
  std::optional<std::string> packed;
  std::optional<std::uint32_t> local_size, central_size, size, local_unpacked;
};

struct RawArchive {
  std::vector<RawMember> members;
  std::string comment;
  std::string before_directory;
  /// Where the records of the archive last built stand.
  std::vector<std::size_t> locals, centrals;
  std::size_t data_of_first = 0, directory = 0, end = 0;

  std::string build() {
    std::string out;
    std::string central;
    locals.clear();
    std::vector<std::size_t> relative;
    for (const RawMember& member : members) {
      std::string data = member.method == 8 ? deflate_raw(member.npy) : member.npy;
      if (member.packed) data = *member.packed;
      const std::uint32_t crc = crc32(0, as_bytes(member.npy));
      const auto size = static_cast<std::uint32_t>(member.npy.size());
      const bool later = !member.descriptor.empty();
      out += member.gap;
      locals.push_back(out.size());
      zip::put32(out, zip::k_local_signature);
      zip::put16(out, 20);
      put_middle(out, member, later ? 0 : crc,
                 member.local_size.value_or(later ? 0 : static_cast<std::uint32_t>(data.size())),
                 member.local_size.value_or(later ? 0 : member.local_unpacked.value_or(size)),
                 member.local_extra);
      out += member.name + member.local_extra;
      if (locals.size() == 1) data_of_first = out.size();
      out += data + member.descriptor;

      relative.push_back(central.size());
      zip::put32(central, zip::k_central_signature);
      zip::put16(central, 0x0314);
      zip::put16(central, 20);
      put_middle(central, member, crc,
                 member.central_size.value_or(static_cast<std::uint32_t>(data.size())),
                 member.central_size.value_or(member.size.value_or(size)), member.central_extra);
      zip::put16(central, 0);
      zip::put16(central, 0);
      zip::put16(central, 0);
      zip::put32(central, member.external);
      zip::put32(central, locals.back());
      central += member.name + member.central_extra;
    }
    out += before_directory;
    directory = out.size();
    centrals.clear();
    for (const std::size_t offset : relative) centrals.push_back(directory + offset);
    out += central;
    end = out.size();
    zip::put32(out, zip::k_end_signature);
    zip::put32(out, 0);
    zip::put16(out, members.size());
    zip::put16(out, members.size());
    zip::put32(out, central.size());
    zip::put32(out, directory);
    zip::put16(out, comment.size());
    return out + comment;
  }

 private:
  static void put_middle(std::string& out, const RawMember& member, std::uint32_t crc,
                         std::uint32_t packed_bytes, std::uint32_t size_bytes,
                         const std::string& extra) {
    zip::put16(out, member.flags);
    zip::put16(out, member.method);
    zip::put32(out, 0x00210000);
    zip::put32(out, crc);
    zip::put32(out, packed_bytes);
    zip::put32(out, size_bytes);
    zip::put16(out, member.name.size());
    zip::put16(out, extra.size());
  }
};

inline void poke(std::string& bytes, std::size_t offset, std::uint64_t value, int width) {
  for (int i = 0; i < width; ++i, value >>= 8U) {
    bytes.at(offset + static_cast<std::size_t>(i)) = static_cast<char>(value & 0xFFU);
  }
}

/// An open file with these bytes.
inline Fd file_of(const std::string& bytes) {
  Fd fd(memfd_create("npz", MFD_CLOEXEC));
  REQUIRE(fd);
  write_full(fd.get(), as_bytes(bytes), "memfd");
  return fd;
}

}  // namespace mad::test
