#include "io/file_map.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/varied_bytes.hpp"

namespace mad::test {
namespace {

constexpr std::size_t k_bytes = 100'003;

Fd file_of(const std::vector<std::byte>& bytes) {
  Fd file = open_unnamed_file("");
  write_full(file.get(), bytes, "file");
  return file;
}

}  // namespace

TEST_CASE("FileMap: shows the file's bytes from any offset on") {
  const auto bytes = varied_bytes(k_bytes);
  const Fd file = file_of(bytes);
  FileMap map(file.get(), {4'097, k_bytes - 4'097});
  for (const ByteRange range : {ByteRange{4'097, 1}, {8'192, 4'096}, {50'000, k_bytes - 50'000}}) {
    const auto shown = map.load(range);
    REQUIRE(shown);
    CHECK(std::ranges::equal(*shown, Bytes(bytes).subspan(range.offset, range.length)));
    map.unload(range);
  }
}

TEST_CASE("FileMap: shows what is written after it was made, and again after unload()") {
  const Fd file = file_of(varied_bytes(k_bytes));
  FileMap map(file.get(), {0, k_bytes});
  REQUIRE(map.load({0, k_bytes}));
  map.unload({0, k_bytes});
  const auto word = as_bytes("written later");
  pwrite_full(file.get(), word, 5'000, "file");
  const auto shown = map.load({5'000, word.size()});
  REQUIRE(shown);
  CHECK(std::ranges::equal(*shown, word));
}

TEST_CASE("FileMap: shows nothing of pages that the file no longer has") {
  const Fd file = file_of(varied_bytes(k_bytes));
  FileMap map(file.get(), {0, k_bytes});
  REQUIRE(ftruncate(file.get(), 20'000) == 0);
  CHECK(map.load({0, 20'000}));
  CHECK_FALSE(map.load({0, k_bytes}));
  CHECK_FALSE(map.load({40'000, 1}));
}

TEST_CASE("FileMap: shows nothing of a file that cannot be mapped") {
  const Fd file(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  REQUIRE(file);
  FileMap map(file.get(), {0, 10});
  CHECK_FALSE(map.load({0, 10}));
}

}  // namespace mad::test
