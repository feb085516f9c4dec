#include "npz/npz_members.hpp"

#include <cstdint>

#include "support/catch.hpp"

using mad::NpzMember;
using mad::NpzMembers;

TEST_CASE("NpzMembers gives back what it was given") {
  NpzMembers members;
  std::vector<NpzMember> given;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    NpzMember member;
    member.key = "node/" + std::string(i % 1000, 'x') + std::to_string(i);
    member.method = i % 2 == 0 ? mad::NpzMethod::stored : mad::NpzMethod::deflated;
    member.local_header_offset = i << 40U;
    member.data_offset = member.local_header_offset + 30 + i;
    member.compressed_bytes = (i << 33U) + 1;
    member.size_bytes = (i << 34U) + 2;
    member.crc32 = static_cast<std::uint32_t>(i * 2654435761U);
    member.header.descr = i % 3 == 0 ? "'<f8'" : "[('a', '<i4'), ('b', '<f4')]";
    member.header.item_bytes = 8;
    member.header.fortran_order = i % 5 == 0;
    member.header.header_bytes = 128 + i;
    if (i % 4 > 0) member.header.shape = {i % 4 - 1, i, 1U << (i % 31)};
    member.header.data_bytes = 8;
    for (const std::uint64_t extent : member.header.shape) member.header.data_bytes *= extent;
    members.push_back(member);
    given.push_back(member);
  }
  const NpzMembers moved = std::move(members);
  REQUIRE(moved.size() == given.size());
  std::size_t i = 0;
  for (const NpzMember& member : moved) {
    const NpzMember& wanted = given[i];
    REQUIRE(moved.key(i) == wanted.key);
    REQUIRE(member.key == wanted.key);
    REQUIRE(member.method == wanted.method);
    REQUIRE(member.local_header_offset == wanted.local_header_offset);
    REQUIRE(member.data_offset == wanted.data_offset);
    REQUIRE(member.compressed_bytes == wanted.compressed_bytes);
    REQUIRE(member.size_bytes == wanted.size_bytes);
    REQUIRE(member.crc32 == wanted.crc32);
    REQUIRE(member.header.descr == wanted.header.descr);
    REQUIRE(member.header.item_bytes == wanted.header.item_bytes);
    REQUIRE(member.header.fortran_order == wanted.header.fortran_order);
    REQUIRE(member.header.header_bytes == wanted.header.header_bytes);
    REQUIRE(member.header.shape == wanted.header.shape);
    REQUIRE(member.header.data_bytes == wanted.header.data_bytes);
    ++i;
  }
}
