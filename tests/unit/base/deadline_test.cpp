#include "base/deadline.hpp"

#include <poll.h>

#include <cstdlib>
#include <string>

#include "base/interrupt.hpp"
#include "support/catch.hpp"

namespace mad::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

std::string unix_time(double from_now) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return std::to_string(static_cast<double>(now.tv_sec) + from_now);
}

/// $MAD_DEADLINE for one test.
struct Variable {
  explicit Variable(const std::string& value) { setenv("MAD_DEADLINE", value.c_str(), 1); }
  ~Variable() { unsetenv("MAD_DEADLINE"); }
};

bool wakes(int timeout_ms) {
  pollfd wake = {interrupt_fd(), POLLIN, 0};
  // The timer's signal ends a poll as well.
  return poll(&wake, 1, timeout_ms) != 0 || poll(&wake, 1, 0) != 0;
}

}  // namespace

TEST_CASE("parse_seconds takes seconds with a fraction, and nothing that only looks like it") {
  CHECK(parse_seconds("90") == seconds(90));
  CHECK(parse_seconds("0.25") == milliseconds(250));
  CHECK(parse_seconds(".5") == milliseconds(500));
  CHECK(parse_seconds("7.") == seconds(7));
  CHECK(parse_seconds("1732632328.123456789123") == nanoseconds(1732632328123456789));
  CHECK(parse_seconds("99999999999") == seconds(8'000'000'000));
  for (const char* bad : {"", ".", "-1", "+1", " 1", "1 ", "1e3", "0x10", "nan", "inf", "1.2.3",
                          "1,5", "1732632328123", "1.5s"}) {
    INFO(bad);
    CHECK_FALSE(parse_seconds(bad));
  }
}

TEST_CASE("chosen_deadline is the earlier of option and variable") {
  CHECK_FALSE(chosen_deadline({}));
  CHECK(chosen_deadline("3") == seconds(3));
  {
    const Variable later(unix_time(100));
    CHECK(chosen_deadline("3") == seconds(3));
    const auto alone = chosen_deadline({});
    REQUIRE(alone);
    CHECK((*alone > seconds(98) && *alone <= seconds(101)));
    CHECK_FALSE(outlived_deadline());
  }
  {
    const Variable sooner(unix_time(10));
    CHECK(*chosen_deadline("300") < seconds(12));
  }
  {
    const Variable passed(unix_time(-10));
    CHECK(*chosen_deadline({}) < seconds(-8));
    CHECK(outlived_deadline());
  }
}

TEST_CASE("chosen_deadline refuses a bad option, and passes over a bad variable") {
  CHECK_THROWS_AS(chosen_deadline("soon"), Error);
  CHECK_THROWS_AS(chosen_deadline(""), Error);
  const Variable bad("tomorrow");
  CHECK_FALSE(chosen_deadline({}));
  CHECK(chosen_deadline("3") == seconds(3));
  CHECK_FALSE(outlived_deadline());
  const Variable empty("");
  CHECK_FALSE(chosen_deadline({}));
}

TEST_CASE("A deadline leaves a margin, ends every wait, and is gone once it is ended") {
  install_interrupt_handlers();
  check_interrupted();
  CHECK_FALSE(time_left());
  set_deadline(seconds(100), DeadlineEnd::hard);
  REQUIRE(time_left());
  CHECK(*time_left() <= seconds(99));
  CHECK(*time_left() > seconds(98));
  CHECK_NOTHROW(check_interrupted());
  end_deadline();
  CHECK_FALSE(has_deadline());

  set_deadline(milliseconds(60), DeadlineEnd::soft);
  CHECK(wakes(60'000));
  CHECK_THROWS_AS(check_interrupted(), DeadlinePassed);
  CHECK(*time_left() <= nanoseconds(0));
  CHECK(deadline_error().code == ExitCode::deadline);
  CHECK(deadline_error().hint.empty());
  end_deadline();
  CHECK_NOTHROW(check_interrupted());
  CHECK_FALSE(wakes(0));
}

TEST_CASE("A deadline that has passed is there at once, but for a last word") {
  install_interrupt_handlers();
  set_deadline(seconds(-1), DeadlineEnd::hard);
  CHECK_THROWS_AS(check_interrupted(), DeadlinePassed);
  CHECK(wakes(0));
  {
    const PastDeadline last_words;
    CHECK_NOTHROW(check_interrupted());
    CHECK(interrupt_fd() == -1);
  }
  CHECK_THROWS_AS(check_interrupted(), DeadlinePassed);
  CHECK(deadline_error().hint.find("MAD_DEADLINE") != std::string::npos);
  end_deadline();
}

TEST_CASE("An interrupted call is put down to what interrupted it") {
  install_interrupt_handlers();
  CHECK(system_error("open", "x", EINTR).code == ExitCode::io);
  set_deadline(seconds(-1), DeadlineEnd::soft);
  CHECK_THROWS_AS(system_error("open", "x", EINTR), DeadlinePassed);
  CHECK_THROWS_AS(output_error("open", "x", EINTR), DeadlinePassed);
  end_deadline();
}

}  // namespace mad::test
