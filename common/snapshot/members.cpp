#include "snapshot/members.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "hash/crc32.hpp"
#include "manifest/topology.hpp"

namespace mad {
namespace {

TableMember table_member_of(const NpzMember& member) {
  TableMember row;
  row.name = member.key;
  row.dtype = format_dtype(member.header.descr);
  row.shape = member.header.shape;
  row.fortran_order = member.header.fortran_order;
  row.size_bytes = member.header.data_bytes;
  row.header_bytes = member.header.header_bytes;
  row.crc32 = member.crc32;
  row.offset = member.data_offset;
  if (member.method == NpzMethod::deflated) {
    row.packed_bytes = member.compressed_bytes;
  } else {
    row.offset += member.header.header_bytes;
  }
  return row;
}

/// The first thing in which the two differ, as `what: expected …, found …`.
std::string difference(const TableMember& expected, const TableMember& found) {
  const auto say = [](const char* what, const std::string& a, const std::string& b) {
    return std::string(what) + ": expected " + printable(a) + ", found " + printable(b);
  };
  const auto say_number = [&](const char* what, std::uint64_t a, std::uint64_t b) {
    return say(what, std::to_string(a), std::to_string(b));
  };
  if (expected.dtype != found.dtype) return say("dtype", expected.dtype, found.dtype);
  if (expected.shape != found.shape) {
    return say("shape", format_array_shape(expected.shape), format_array_shape(found.shape));
  }
  if (expected.fortran_order != found.fortran_order) {
    return say("fortran_order", expected.fortran_order ? "true" : "false",
               found.fortran_order ? "true" : "false");
  }
  if (expected.offset != found.offset) return say_number("offset", expected.offset, found.offset);
  if (expected.size_bytes != found.size_bytes) {
    return say_number("size_bytes", expected.size_bytes, found.size_bytes);
  }
  if (expected.header_bytes != found.header_bytes) {
    return say_number("header_bytes", expected.header_bytes, found.header_bytes);
  }
  if (expected.packed_bytes != found.packed_bytes) {
    return say("packed_bytes",
               expected.packed_bytes ? std::to_string(*expected.packed_bytes) : "a stored array",
               found.packed_bytes ? std::to_string(*found.packed_bytes) : "a stored array");
  }
  return say("crc32", format_crc32(expected.crc32), format_crc32(found.crc32));
}

}  // namespace

MemberTable member_table_of(const NpzMembers& members) {
  MemberTable table;
  table.reserve(members.size());
  for (const NpzMember& member : members) table.push_back(table_member_of(member));
  return table;
}

void require_same_members(const MemberTable& table, const NpzMembers& members,
                          const std::string& subject) {
  const auto refuse = [&](const std::string& name, const std::string& what) {
    throw Error(ExitCode::refused, "members-mismatch", subject + ": " + printable(name),
                "the manifest's members against the archive: " + what);
  };
  for (std::size_t i = 0; i < std::min(table.size(), members.size()); ++i) {
    const TableMember found = table_member_of(members[i]);
    const TableMember& expected = table[i];
    if (expected.name != found.name) {
      refuse(found.name, "name: expected " + printable(expected.name));
    }
    if (!(expected == found)) refuse(found.name, difference(expected, found));
  }
  if (table.size() > members.size()) {
    refuse(table[members.size()].name, "expected this array, found none");
  }
  if (members.size() > table.size()) {
    refuse(members[table.size()].key, "expected no such array");
  }
}

}  // namespace mad
