#include "verify/relay.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"

using namespace mad;

TEST_CASE("Relay: runs jobs in order and hands over what was put into the buffers") {
  std::string seen;
  Relay relay(4, 2);
  for (char c = 'a'; c <= 'z'; ++c) {
    const MutableBytes room = relay.buffer();
    REQUIRE(room.size() == 4);
    std::fill(room.begin(), room.begin() + 3, static_cast<std::byte>(c));
    relay.post_buffer(3, [&](Bytes bytes) { seen += as_text(bytes); });
    relay.post([&] { seen += '.'; });
  }
  relay.drain();
  REQUIRE(seen.size() == 26 * 4);
  CHECK(seen.substr(0, 8) == "aaa.bbb.");
  CHECK(seen.substr(100) == "zzz.");
}

TEST_CASE("Relay: goes round in a few buffers") {
  std::set<const std::byte*> used;
  Relay relay(64, 3);
  for (int i = 0; i < 100; ++i) {
    used.insert(relay.buffer().data());
    relay.post_buffer(64, [](Bytes) {});
  }
  relay.drain();
  CHECK(used.size() <= 3);
}

TEST_CASE("Relay: what a job throws reaches the thread that waits for a buffer") {
  Relay relay(64, 2);
  const auto feed = [&] {
    for (;;) {
      relay.buffer();
      relay.post_buffer(1, [](Bytes) { throw std::runtime_error("no space"); });
    }
  };
  CHECK_THROWS_AS(feed(), std::runtime_error);
  // Told once; a second end is quiet.
  CHECK_NOTHROW(relay.drain());
}

TEST_CASE("Relay: drain tells what a job threw") {
  Relay relay(64, 2);
  relay.post([] { throw std::runtime_error("no space"); });
  CHECK_THROWS_AS(relay.drain(), std::runtime_error);
}

TEST_CASE("Relay: destruction waits for the job that runs") {
  BoundedQueue<int> began(1);
  BoundedQueue<int> gate(1);
  bool done = false;
  {
    Relay relay(64, 4);
    relay.post([&] {
      began.push(1);
      gate.pop();
      done = true;
    });
    began.pop();
    gate.close();
  }
  CHECK(done);
}
