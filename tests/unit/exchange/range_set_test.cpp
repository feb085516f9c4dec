#include "exchange/range_set.hpp"

#include <random>

#include "support/catch.hpp"

using namespace mad;

namespace {

std::string show(const std::vector<ByteRange>& ranges) {
  std::string text;
  for (const ByteRange& range : ranges) {
    text += std::to_string(range.offset);
    text += '-';
    text += std::to_string(range.end());
    text += ' ';
  }
  return text;
}

}  // namespace

TEST_CASE("RangeSet: neighbours become one, whatever order they come in") {
  RangeSet set;
  set.add({10, 10});
  set.add({30, 10});
  CHECK(show(set.ranges()) == "10-20 30-40 ");
  set.add({20, 10});
  CHECK(show(set.ranges()) == "10-40 ");
  set.add({0, 5});
  CHECK(show(set.gaps(50)) == "5-10 40-50 ");
  CHECK(show(set.gaps(20)) == "5-10 ");
  CHECK(set.bytes() == 35);
}

TEST_CASE("RangeSet: a run ends where the first byte is missing") {
  RangeSet set;
  CHECK(set.run_end(0) == 0);
  set.add({0, 5});
  set.add({7, 3});
  CHECK(set.run_end(0) == 5);
  CHECK(set.run_end(5) == 5);
  CHECK(set.run_end(8) == 10);
  CHECK(set.run_end(20) == 20);
}

TEST_CASE("RangeSet: it agrees with a set of bytes") {
  std::mt19937 random(7);
  std::uniform_int_distribution<unsigned> place(0, 40);
  RangeSet set;
  std::vector<bool> bytes(100);
  for (int round = 0; round < 3000; ++round) {
    const ByteRange range{place(random), place(random)};
    const bool add = round % 3 != 0;
    bool touched = false;
    for (std::uint64_t i = range.offset; i < range.end(); ++i) {
      touched = touched || bytes[i];
    }
    REQUIRE(set.intersects(range) == touched);
    if (add) {
      set.add(range);
    } else {
      set.remove(range);
    }
    for (std::uint64_t i = range.offset; i < range.end(); ++i) bytes[i] = add;
    std::uint64_t count = 0;
    std::vector<ByteRange> expected;
    for (std::uint64_t i = 0; i < bytes.size(); ++i) {
      if (!bytes[i]) continue;
      ++count;
      if (i == 0 || !bytes[i - 1]) expected.push_back({i, 0});
      ++expected.back().length;
    }
    REQUIRE(set.bytes() == count);
    REQUIRE(show(set.ranges()) == show(expected));
  }
}
