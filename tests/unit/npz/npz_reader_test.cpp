#include "npz/npz_reader.hpp"

#include <array>

#include "unit/npz/audited.hpp"

namespace mad::test {

TEST_CASE("open_member gives the array's bytes, then vouches for them") {
  RawArchive archive = two_arrays();
  archive.members[1].method = 8;
  const std::string bytes = archive.build();
  const Fd fd = file_of(bytes);
  const auto members = audit_npz(fd.get(), bytes.size(), {}, "sim.npz");
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto source = open_member(fd.get(), members[i], "sim.npz");
    std::string found;
    std::array<std::byte, 50> buffer;
    while (const std::size_t n = source->read(buffer)) {
      found += as_text(Bytes(buffer).first(n));
    }
    CHECK(found == archive.members[i].npy);
    CHECK(source->read(buffer) == 0);
  }
}

TEST_CASE("open_member throws at the end where the CRC is wrong or the file shrank") {
  RawArchive archive = two_arrays();
  std::string bytes = archive.build();
  const Fd good = file_of(bytes);
  const auto members = audit_npz(good.get(), bytes.size(), {}, "sim.npz");
  const auto drain = [&](const std::string& content) {
    const Fd fd = file_of(content);
    const auto source = open_member(fd.get(), members[0], "sim.npz");
    std::array<std::byte, 4096> buffer;
    while (source->read(buffer) > 0) {
    }
  };
  std::string flipped = bytes;
  flipped[archive.data_of_first + 130] ^= 1;
  const Error crc = error_from([&] { drain(flipped); });
  CHECK(crc.reason == "member-crc");
  CHECK(crc.subject == "sim.npz: ball/x.npy");
  CHECK(error_from([&] { drain(bytes.substr(0, 100)); }).reason == "archive-invalid");
}

}  // namespace mad::test
