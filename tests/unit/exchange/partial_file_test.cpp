#include "exchange/partial_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "io/fd.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t k_npz_bytes = 1000;

class Place {
 public:
  Place() : npz(directory.file("sim.npz")) {}
  std::unique_ptr<PartialFile> open(const std::string& identity = "v1",
                                    std::uint64_t size_bytes = k_npz_bytes) const {
    return PartialFile::open(npz, identity, size_bytes);
  }
  /// One that a fetch left, with the first 100 bytes and those from 500 on.
  void leave() const {
    const auto partial = open();
    pwrite_full(partial->fd(), as_bytes(std::string(100, 'a')), 0, npz);
    partial->add({0, 100});
    pwrite_full(partial->fd(), as_bytes(std::string(500, 'b')), 500, npz);
    partial->add({500, 500});
  }
  std::string partial() const { return directory.file(".sim.npz.mad-partial"); }
  std::string journal() const { return directory.file(".sim.npz.mad-partial.parts"); }
  std::size_t entries() const {
    const std::filesystem::directory_iterator begin(directory.path());
    return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
  }

  TemporaryDirectory directory;
  std::string npz;
};

std::string text_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("PartialFile: what one fetch left is there for the next of the same version") {
  const Place place;
  place.leave();
  const auto partial = place.open();
  REQUIRE(partial);
  CHECK(partial->parts().bytes() == 600);
  CHECK(partial->parts().gaps(k_npz_bytes).size() == 1);
  CHECK(text_in(place.partial()).substr(0, 100) == std::string(100, 'a'));
}

TEST_CASE("PartialFile: another version or size begins with nothing") {
  for (const bool other_size : {false, true}) {
    const Place place;
    place.leave();
    const auto partial = other_size ? place.open("v1", 1001) : place.open("v2");
    REQUIRE(partial);
    CHECK(partial->parts().empty());
    CHECK(text_in(place.partial()).empty());
  }
}

TEST_CASE("PartialFile: without any part nothing is left behind") {
  const Place place;
  place.open();
  CHECK(place.entries() == 0);
}

TEST_CASE("PartialFile: while one fetch has it another gets none, and removes nothing") {
  const Place place;
  place.leave();
  const auto first = place.open();
  REQUIRE(first);
  CHECK(!place.open());
  remove_partial(place.npz);
  CHECK(place.entries() == 2);
}

TEST_CASE("PartialFile: one that was renamed meanwhile is not taken for its own") {
  const Place place;
  place.leave();
  auto first = place.open();
  std::filesystem::rename(place.partial(), place.npz);
  first.reset();
  remove_partial(place.npz);
  CHECK(place.entries() == 1);
  CHECK(text_in(place.npz).size() == k_npz_bytes);
}

TEST_CASE("PartialFile: a journal that is none, or promises what is not there, is not believed") {
  struct Damage {
    std::string text;
    std::uint64_t left;
  };
  const Place sample;
  sample.leave();
  const std::string good = text_in(sample.journal());
  for (const Damage& damage :
       {Damage{"", 0}, Damage{good + "7", 600}, Damage{good + "nonsense\n", 0},
        Damage{good + "100 901\n", 0}, Damage{good + "18446744073709551615 2\n", 0},
        Damage{good + "100 0\n", 0}, Damage{good + "-1 5\n", 0}, Damage{"x" + good, 0},
        Damage{good.substr(0, good.size() - 4), 100}, Damage{std::string(20 << 20, '\n'), 0}}) {
    CAPTURE(damage.text.substr(0, 200));
    const Place place;
    place.leave();
    std::ofstream(place.journal(), std::ios::binary | std::ios::trunc) << damage.text;
    const auto partial = place.open();
    REQUIRE(partial);
    CHECK(partial->parts().bytes() == damage.left);
    // It goes on as a journal that can be read again.
    partial->add({200, 10});
    CHECK(text_in(place.journal()).find("\n200 10\n") != std::string::npos);
  }
  const Place place;
  place.leave();
  std::filesystem::resize_file(place.partial(), 700);
  CHECK(place.open()->parts().bytes() == 100);
}

TEST_CASE("PartialFile: what is no file of one's own is not touched") {
  const Place place;
  const std::string other = place.directory.file("other");
  std::ofstream(other) << "other";
  SECTION("a link to a file") {
    std::filesystem::create_symlink(other, place.partial());
  }
  SECTION("a file with a second name") {
    std::filesystem::create_hard_link(other, place.partial());
  }
  SECTION("a directory") {
    std::filesystem::create_directory(place.partial());
  }
  SECTION("a FIFO") {
    REQUIRE(mkfifo(place.partial().c_str(), 0600) == 0);
  }
  SECTION("a journal that is a link") {
    std::filesystem::create_symlink(other, place.journal());
  }
  CHECK(!place.open());
  CHECK(text_in(other) == "other");
}

TEST_CASE("remove_partial: it removes what a dead fetch left, and a journal alone") {
  const Place place;
  place.leave();
  remove_partial(place.npz);
  CHECK(place.entries() == 0);
  std::ofstream(place.journal()) << "x";
  remove_partial(place.npz);
  CHECK(place.entries() == 0);
}
