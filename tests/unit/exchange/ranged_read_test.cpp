#include "exchange/ranged_read.hpp"

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "exchange/ordered_npz.hpp"
#include "range_server.hpp"
#include "support/catch.hpp"

using namespace mad;
using mad::test::numbered_bytes;
using mad::test::RangeServer;

namespace {

constexpr std::uint64_t k_plan_mib = std::uint64_t{1} << 20U;

RangePlan plan_of(unsigned connections, std::uint64_t part_bytes, std::size_t window) {
  RangePlan plan;
  plan.connections = connections;
  plan.part_bytes = part_bytes;
  plan.window = window;
  return plan;
}

struct Taken {
  std::string bytes;
  RangedFigures figures;
};

Taken take(RangeServer& server, const RangePlan& plan) {
  Taken taken;
  OrderedNpz npz(server.object.size(), plan, [&](Bytes bytes) { taken.bytes += as_text(bytes); });
  Progress progress("test", std::nullopt);
  taken.figures = read_npz(server.source(), npz, progress);
  return taken;
}

}  // namespace

TEST_CASE("read_ranges: parts come in order, whatever order they are answered in") {
  RangeServer server(numbered_bytes(1'000'003));
  server.on_range = [](const ByteRange& range) {
    if (range.offset / 10'000 % 3 == 0) std::this_thread::yield();
    return RangeOutcome::complete;
  };
  const Taken taken = take(server, plan_of(5, 10'000, 8));
  CHECK(taken.bytes == server.object);
  CHECK(taken.figures.outcome == RangeOutcome::complete);
  CHECK(taken.figures.ranges == 101);
  CHECK(server.asked.size() == 101);
}

TEST_CASE("read_ranges: as many requests at once as there are connections, and no more") {
  RangeServer server(numbered_bytes(100'000));
  std::mutex mutex;
  std::condition_variable arrived;
  int waiting = 0;
  // None is answered before four have come.
  server.on_range = [&](const ByteRange&) {
    std::unique_lock lock(mutex);
    ++waiting;
    arrived.notify_all();
    arrived.wait(lock, [&] { return waiting >= 4; });
    return RangeOutcome::complete;
  };
  CHECK(take(server, plan_of(4, 1'000, 6)).bytes == server.object);
  CHECK(server.most_at_once == 4);
}

TEST_CASE("read_ranges: nobody runs further ahead of a late part than the window") {
  RangeServer server(numbered_bytes(100'000));
  std::mutex mutex;
  std::condition_variable arrived;
  std::uint64_t furthest = 0;
  server.on_range = [&](const ByteRange& range) {
    std::unique_lock lock(mutex);
    furthest = std::max(furthest, range.offset);
    arrived.notify_all();
    // The first part is late: the others fill the window, and not one part more.
    if (range.offset == 0) {
      arrived.wait(lock, [&] { return furthest == 5'000; });
      CHECK(
          !arrived.wait_for(lock, std::chrono::milliseconds(30), [&] { return furthest > 5'000; }));
    }
    return RangeOutcome::complete;
  };
  CHECK(take(server, plan_of(3, 1'000, 6)).bytes == server.object);
}

TEST_CASE("read_ranges: the first failure ends the others and is what is thrown") {
  RangeServer server(numbered_bytes(100'000));
  server.on_range = [&](const ByteRange& range) {
    if (range.offset == 3'000) throw Error(ExitCode::remote, "transfer-cut", "x", "cut");
    if (range.offset > 3'000) {
      while (!server.stop->requested()) std::this_thread::yield();
      server.stop->check();
    }
    return RangeOutcome::complete;
  };
  const Error error = test::error_from([&] { take(server, plan_of(4, 1'000, 6)); });
  CHECK(error.reason == "transfer-cut");
  // The transport can be used again.
  CHECK(!server.stop->requested());
  server.on_range = nullptr;
  CHECK(take(server, plan_of(4, 1'000, 6)).bytes == server.object);
}

TEST_CASE("read_ranges: another version, or no ranges, is told and ends all") {
  for (const RangeOutcome outcome : {RangeOutcome::changed, RangeOutcome::no_ranges}) {
    RangeServer server(numbered_bytes(100'000));
    server.on_range = [&](const ByteRange& range) {
      return range.offset == 2'000 ? outcome : RangeOutcome::complete;
    };
    CHECK(take(server, plan_of(2, 1'000, 3)).figures.outcome == outcome);
    CHECK(server.asked.size() < 10);
  }
}

TEST_CASE("read_ranges: what the target throws comes out") {
  RangeServer server(numbered_bytes(100'000));
  OrderedNpz npz(server.object.size(), plan_of(3, 1'000, 5),
                 [](Bytes) { throw Error(ExitCode::io, "no-space", "x", "full"); });
  Progress progress("test", std::nullopt);
  CHECK(test::error_from([&] { read_npz(server.source(), npz, progress); }).reason == "no-space");
}

TEST_CASE("read_ranges: all threads together keep to the rate") {
  RangeServer server(numbered_bytes(300'000));
  RateLimit limit(1'000'000);
  std::string bytes;
  OrderedNpz npz(server.object.size(), plan_of(4, 10'000, 6),
                 [&](Bytes more) { bytes += as_text(more); });
  Progress progress("test", std::nullopt);
  RangedSource source = server.source();
  source.limit = &limit;
  const auto start = std::chrono::steady_clock::now();
  read_npz(source, npz, progress);
  // 0.3 s at the rate, less the tenth of a second that may be saved up.
  CHECK(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(180));
  CHECK(bytes == server.object);
}

TEST_CASE("plan_ranges: parts and connections suit the size, memory is bounded") {
  for (const std::uint64_t size :
       {5 * k_plan_mib, 100 * k_plan_mib, 1024 * k_plan_mib, 1024 * 1024 * k_plan_mib}) {
    for (const PartsIn parts : {PartsIn::memory, PartsIn::file}) {
      const RangePlan plan = plan_ranges(size, {}, parts);
      CAPTURE(size, plan.connections, plan.part_bytes, plan.window);
      CHECK(plan.connections >= 2);
      CHECK(plan.connections <= 8);
      CHECK(plan.part_bytes >= k_plan_mib);
      CHECK(plan.part_bytes <= 16 * k_plan_mib);
      CHECK(plan.window > plan.connections);
      if (parts == PartsIn::memory) CHECK(plan.window * plan.part_bytes <= 36 * k_plan_mib);
      // Enough parts that every connection has work to the end.
      CHECK(size / plan.part_bytes >= 2 * plan.connections);
    }
  }
}

TEST_CASE("plan_ranges: as many connections a processor as the server is worth, but two") {
  const unsigned processors = std::thread::hardware_concurrency();
  for (const unsigned each : {1U, 2U}) {
    RangeWishes wishes;
    wishes.connections_a_processor = each;
    const RangePlan plan = plan_ranges(1024 * k_plan_mib, wishes, PartsIn::file);
    CHECK(plan.connections == std::clamp(each * processors, 2U, 8U));
  }
}

TEST_CASE("plan_ranges: wishes win, and a slow rate is not shared by many") {
  RangeWishes wishes;
  wishes.connections = 20;
  wishes.part_bytes = 100 * k_plan_mib;
  RangePlan plan = plan_ranges(1 << 30, wishes, PartsIn::memory);
  CHECK(plan.connections == 20);
  CHECK(plan.part_bytes == 100 * k_plan_mib);
  wishes = {};
  wishes.bytes_per_second = 3 * k_plan_mib;
  CHECK(plan_ranges(1 << 30, wishes, PartsIn::memory).connections == 3);
  wishes.bytes_per_second = 1000;
  CHECK(plan_ranges(1 << 30, wishes, PartsIn::memory).connections == 1);
}
