// mad-test-sim: a ball bouncing over a warm table, to be preempted at any instant.
//
// Its state lies in memory-mapped NODE/FIELD.npy files and is a whole step at every
// instant (state.hpp), so that a snapshot needs no help from it.

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "model.hpp"
#include "state.hpp"

namespace {

constexpr const char* k_usage =
    "usage: mad-test-sim --state DIR [OPTION]...\n"
    "  --state DIR       where the state is; made where there is none\n"
    "  --steps N         end at step N (default: never)\n"
    "  --heat-bytes N    size of a fresh heat field (default 65536)\n"
    "  --step-ms MS      wait MS milliseconds after each step, for people to watch\n"
    "  --print-every N   print `step N` at every Nth step\n"
    "  --print-step      print the step of the state there is, and end\n";

struct Options {
  std::string state;
  std::optional<std::size_t> heat_bytes;
  std::int64_t steps = -1;
  std::int64_t step_ms = 0;
  std::int64_t print_every = 0;
  bool print_step = false;
};

struct UsageError {
  std::string message;
};

std::int64_t parse_number(std::string_view option, const char* text) {
  std::int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, code] = std::from_chars(text, end, value);
  if (code != std::errc{} || rest != end || value < 0) {
    throw UsageError{std::string(option) + ": expected a number, found " + text};
  }
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--print-step") {
      options.print_step = true;
      continue;
    }
    if (i + 1 == argc) throw UsageError{std::string(name) + ": unknown, or its value is missing"};
    const char* value = argv[++i];
    if (name == "--state") {
      options.state = value;
    } else if (name == "--steps") {
      options.steps = parse_number(name, value);
    } else if (name == "--heat-bytes") {
      options.heat_bytes = static_cast<std::size_t>(parse_number(name, value));
    } else if (name == "--step-ms") {
      options.step_ms = parse_number(name, value);
    } else if (name == "--print-every") {
      options.print_every = parse_number(name, value);
    } else {
      throw UsageError{std::string(name) + ": unknown option"};
    }
  }
  while (options.state.size() > 1 && options.state.back() == '/') options.state.pop_back();
  if (options.state.empty()) throw UsageError{"--state is missing"};
  return options;
}

struct Start {
  sim::State state;
  sim::Extent extent;
};

Start open_or_create(const Options& options) {
  namespace fs = std::filesystem;
  const fs::path path = options.state;
  // An empty directory (a volume never used) is no state yet.
  if (!fs::exists(fs::symlink_status(path)) || (fs::is_directory(path) && fs::is_empty(path))) {
    const sim::Extent extent = sim::extent_for(options.heat_bytes.value_or(65536));
    Start start{sim::State::create(path, sim::fields_of(extent)), extent};
    sim::initialise(start.state.next(), extent);
    start.state.publish();
    return start;
  }
  const auto shape = sim::shape_on_disk(path / "heat/field.npy");
  if (shape.size() != 2 || shape[0] == 0 || shape[1] < 4) {
    throw sim::StateError(options.state + "/heat/field.npy: expected rows and columns");
  }
  const sim::Extent extent{shape[0], shape[1]};
  if (options.heat_bytes && sim::extent_for(*options.heat_bytes) != extent) {
    throw sim::StateError(options.state +
                          "/heat/field.npy: its size is not what --heat-bytes says");
  }
  Start start{sim::State::open(path, sim::fields_of(extent)), extent};
  if (sim::step_count(start.state.current()) < 0) {
    throw sim::StateError(options.state + "/_meta/step_count.npy: negative");
  }
  return start;
}

void run(const Options& options) {
  if (options.print_step) {
    const std::filesystem::path path = options.state;
    const auto shape = sim::shape_on_disk(path / "heat/field.npy");
    if (shape.size() != 2) throw sim::StateError(options.state + ": no heat field");
    const auto state = sim::Buffer::open(path, sim::fields_of({shape[0], shape[1]}));
    std::printf("%lld\n", static_cast<long long>(sim::step_count(state)));
    return;
  }
  auto [state, extent] = open_or_create(options);
  std::int64_t count = sim::step_count(state.current());
  std::printf("starts at step %lld\n", static_cast<long long>(count));
  while (options.steps < 0 || count < options.steps) {
    sim::step(state.current(), state.next(), extent);
    state.publish();
    count = sim::step_count(state.current());
    if (options.print_every > 0 && count % options.print_every == 0) {
      std::printf("step %lld\n", static_cast<long long>(count));
    }
    if (options.step_ms > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(options.step_ms));
    }
  }
  std::printf("ends at step %lld\n", static_cast<long long>(count));
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "mad-test-sim: %s\n%s", error.message.c_str(), k_usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mad-test-sim: %s\n", error.what());
    return 1;
  }
}
