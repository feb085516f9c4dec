#include "fuzz/fuzz.hpp"
#include "fuzz/npz.hpp"

// The auditor of an archive in passing accepts what that of a file accepts, however the
// bytes are cut up, and tells the same of it.

namespace {

struct Passed {
  bool followable = false;
  std::optional<mad::NpzMembers> members;
};

Passed passed(std::string_view archive, std::size_t piece_bytes) {
  mad::NpzStreamAuditor auditor(mad::fuzz::npz_limits(), "sim.npz");
  for (; !archive.empty(); archive.remove_prefix(std::min(piece_bytes, archive.size()))) {
    auditor.feed(mad::as_bytes(archive.substr(0, piece_bytes)));
  }
  Passed result;
  result.followable = auditor.followable();
  if (result.followable) {
    mad::fuzz::refuses([&] { result.members = auditor.finish(); });
  }
  return result;
}

bool same_member(const mad::NpzMember& a, const mad::NpzMember& b) {
  return a.key == b.key && a.method == b.method && a.data_offset == b.data_offset &&
         a.local_header_offset == b.local_header_offset && a.size_bytes == b.size_bytes &&
         a.compressed_bytes == b.compressed_bytes && a.crc32 == b.crc32 &&
         a.header.descr == b.header.descr && a.header.shape == b.header.shape &&
         a.header.fortran_order == b.header.fortran_order &&
         a.header.header_bytes == b.header.header_bytes &&
         a.header.data_bytes == b.header.data_bytes;
}

}  // namespace

MAD_FUZZ_TARGET(npz_stream) {
  using mad::fuzz::require;
  const mad::Fd file = mad::fuzz::file_of(input);
  auto from_file = mad::fuzz::audited(file, input.size());
  if (from_file &&
      mad::fuzz::refuses([&] { mad::check_npz_data(file.get(), *from_file, "sim.npz"); })) {
    from_file.reset();
  }
  for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{61}, input.size() + 1}) {
    const Passed in_passing = passed(input, piece_bytes);
    if (!in_passing.followable) continue;
    require(in_passing.members.has_value() == from_file.has_value(), "both accept or refuse");
    if (!from_file) continue;
    require(in_passing.members->size() == from_file->size(), "both find as many members");
    for (std::size_t i = 0; i < from_file->size(); ++i) {
      require(same_member((*in_passing.members)[i], (*from_file)[i]), "both find the same");
    }
  }
}
