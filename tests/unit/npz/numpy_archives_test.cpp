#include <cstdlib>

#include "io/file.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/npz_reader.hpp"
#include "support/catch.hpp"

// Archives that NumPy itself wrote: tests/data/npz/make.py.
namespace mad::test {
namespace {

Fd open_data(const std::string& name) {
  const char* source = std::getenv("MAD_SOURCE_DIR");
  REQUIRE(source != nullptr);
  return open_regular(std::string(source) + "/tests/data/npz/" + name);
}

}  // namespace

TEST_CASE("what np.savez writes, to a file or a pipe, packed or not, is accepted") {
  struct Known {
    std::string name;
    bool followable;
  };
  for (const Known& known :
       {Known{"savez.npz", true}, Known{"savez-pipe.npz", false},
        Known{"savez-compressed.npz", false}, Known{"savez-compressed-pipe.npz", false}}) {
    INFO(known.name);
    const Fd fd = open_data(known.name);
    const auto size_bytes = static_cast<std::uint64_t>(stat_fd(fd.get(), known.name).st_size);
    const auto members = audit_npz(fd.get(), size_bytes, {}, known.name);
    check_npz_data(fd.get(), members, known.name);
    REQUIRE(members.size() == 6);
    CHECK(members[0].key == "ball/x");
    CHECK(members[0].header.descr == "'>f4'");
    CHECK(members[1].header.descr == "'<U2'");
    CHECK(members[2].header.fortran_order);
    CHECK(members[3].header.descr == "[('a', '|i1'), ('', '|V7'), ('b', '<f8', (2,))]");
    CHECK(members[4].key == "\xC3\xA9/empty");
    CHECK(members[4].header.data_bytes == 0);
    CHECK(members[5].header.shape.empty());

    std::array<std::byte, 1000> buffer;
    const auto source = open_member(fd.get(), members[5], known.name);
    REQUIRE(source->read(buffer) == 136);
    CHECK(buffer[128] == std::byte{7});
    CHECK(source->read(buffer) == 0);

    NpzStreamAuditor auditor({}, known.name);
    std::string bytes(size_bytes, '\0');
    REQUIRE(pread_full(fd.get(), std::as_writable_bytes(std::span(bytes)), 0, known.name) ==
            size_bytes);
    auditor.feed(as_bytes(bytes));
    CHECK(auditor.followable() == known.followable);
    if (known.followable) CHECK(auditor.finish().size() == 6);
  }
}

}  // namespace mad::test
