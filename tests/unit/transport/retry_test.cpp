#include "transport/retry.hpp"

#include "support/catch.hpp"

using namespace mad;
using namespace std::chrono_literals;
using mad::test::error_from;

namespace {

const Error k_failure(ExitCode::remote, "connect", "http://h/", "refused");

RetryPolicy quick(unsigned retries) {
  RetryPolicy policy;
  policy.retries = retries;
  policy.first_delay = 0ms;
  return policy;
}

}  // namespace

TEST_CASE("parse_http_date: the example of RFC 9110, 5.6.7, and nothing else") {
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  for (const char* text : {"", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT x",
                           "1994-11-06T08:49:37Z"}) {
    CHECK_FALSE(parse_http_date(text));
  }
}

TEST_CASE("parse_retry_after: seconds or a date") {
  CHECK(parse_retry_after("120", 0) == 120s);
  CHECK(parse_retry_after("0", 0) == 0s);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111770) == 7s);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111780) == 0s);
  CHECK(parse_retry_after("99999999999999", 0) == 1'000'000'000s);
  for (const char* text : {"", "-1", "1.5", "soon", "99999999999999999999999"}) {
    CHECK_FALSE(parse_retry_after(text, 0));
  }
}

TEST_CASE("Retrier: as many retries in a row as the policy allows, then the failure") {
  Retrier retrier(quick(2));
  retrier.wait_or_throw(k_failure, {});
  retrier.wait_or_throw(k_failure, {});
  const Error error = error_from([&] { retrier.wait_or_throw(k_failure, {}); });
  CHECK(error.reason == "connect");
  CHECK(error.message == "refused\ngave up after 3 attempts");
  CHECK(retrier.total_retries() == 2);
}

TEST_CASE("Retrier: progress begins a new row") {
  Retrier retrier(quick(1));
  for (int i = 0; i < 5; ++i) {
    retrier.wait_or_throw(k_failure, {});
    retrier.progress();
  }
  retrier.wait_or_throw(k_failure, {});
  CHECK(error_from([&] { retrier.wait_or_throw(k_failure, {}); }).code == ExitCode::remote);
}

TEST_CASE("Retrier: the budget is for what follows the first failure, not for what came before") {
  RetryPolicy policy = quick(5);
  policy.budget = 20ms;
  Retrier retrier(policy);
  const auto outlast = [&] {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin <= policy.budget + 2ms) {
    }
  };
  outlast();
  retrier.wait_or_throw(k_failure, {});
  outlast();
  CHECK(error_from([&] { retrier.wait_or_throw(k_failure, {}); }).message.find("budget") !=
        std::string::npos);
}

TEST_CASE("Retrier: without retries the failure comes out as it is") {
  Retrier retrier(quick(0));
  CHECK(error_from([&] { retrier.wait_or_throw(k_failure, {}); }).message == "refused");
}

TEST_CASE("Retrier: a Retry-After beyond the budget is not waited for") {
  RetryPolicy policy = quick(5);
  policy.budget = 10s;
  Retrier retrier(policy);
  const Error error = error_from([&] { retrier.wait_or_throw(k_failure, 11s); });
  CHECK(error.message.find("asks to wait 11 s") != std::string::npos);
}

TEST_CASE("Retrier: an empty budget allows no wait") {
  RetryPolicy policy = quick(5);
  policy.first_delay = 1h;
  policy.budget = 0ms;
  Retrier retrier(policy);
  CHECK(error_from([&] { retrier.wait_or_throw(k_failure, {}); }).message.find("budget") !=
        std::string::npos);
}

TEST_CASE("jitter: full, from nothing to the bound") {
  bool low = false;
  bool high = false;
  for (int i = 0; i < 1000; ++i) {
    const auto time = jitter(100ms);
    REQUIRE(time >= 0ms);
    REQUIRE(time <= 100ms);
    low = low || time < 30ms;
    high = high || time > 70ms;
  }
  CHECK(low);
  CHECK(high);
}
