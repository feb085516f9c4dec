#include <sys/mman.h>

#include <set>

#include "fuzz/fuzz.hpp"
#include "fuzz/npz.hpp"
#include "hash/crc32.hpp"
#include "npz/npz_reader.hpp"

// The auditor and the reader of an archive in a file.

namespace {

/// Whether every member can be read to its end, as what the audit said of it.
bool reads_whole(const mad::Fd& file, const mad::NpzMembers& members) {
  using mad::fuzz::require;
  bool all = true;
  for (const mad::NpzMember& member : members) {
    all &= !mad::fuzz::refuses([&] {
      const std::string npy =
          mad::fuzz::read_rest(*mad::open_member(file.get(), member, "sim.npz"));
      require(npy.size() == member.size_bytes, "a member is as long as the audit said");
      require(mad::crc32(0, mad::as_bytes(npy)) == member.crc32, "a member has its CRC");
      const mad::NpyHeader header = mad::parse_npy_header(mad::as_bytes(npy), "x.npy");
      require(header.descr == member.header.descr && header.shape == member.header.shape &&
                  header.fortran_order == member.header.fortran_order,
              "a member's header is what the audit said");
      require(header.header_bytes + header.data_bytes == npy.size(), "an array fills its member");
    });
  }
  return all;
}

}  // namespace

MAD_FUZZ_TARGET(npz) {
  using mad::fuzz::require;
  const mad::Fd file = mad::fuzz::file_of(input);
  const auto members = mad::fuzz::audited(file, input.size());
  if (!members) return;
  std::set<std::string> keys;
  std::uint64_t end = 0;
  for (const mad::NpzMember& member : *members) {
    require(keys.insert(member.key).second, "no key is there twice");
    require(mad::key_defect(member.key).empty(), "a key is one");
    require(member.local_header_offset == (end == 0 ? 0 : member.local_header_offset) &&
                member.local_header_offset >= end && member.data_offset >= end + 30,
            "members follow one another");
    end = member.data_offset + member.compressed_bytes;
    require(end <= input.size(), "a member lies within the archive");
  }
  const bool sound =
      !mad::fuzz::refuses([&] { mad::check_npz_data(file.get(), *members, "sim.npz"); });
  require(sound == reads_whole(file, *members), "the check of the data and the reader agree");
}
