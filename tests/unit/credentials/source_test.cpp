#include "credentials/source.hpp"

#include <atomic>
#include <condition_variable>
#include <thread>

#include "credentials/aws.hpp"
#include "scripted_http.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::says;

namespace {

/// A provider whose credentials are numbered, and a clock.
struct Counter {
  std::atomic<std::int64_t> now = 1000;
  std::atomic<int> loads = 0;
  std::optional<std::int64_t> lasts_seconds = 3600;
  bool fails = false;

  Provider<AwsCredentials> provider() {
    return {[this](Looked&) -> std::optional<AwsCredentials> {
      ++loads;
      if (fails) throw Error(ExitCode::remote, "connect", "the counter", "cannot connect");
      AwsCredentials made;
      made.access_key_id = "AK" + std::to_string(loads.load());
      made.provider = "counter";
      if (lasts_seconds) made.expires_at = now + *lasts_seconds;
      return made;
    }};
  }

  AwsCredentialsSource source() {
    return {"s3", "a hint", {nothing("first: not set"), provider(), unreachable()}, [this] {
              return now.load();
            }};
  }

  static Provider<AwsCredentials> nothing(const std::string& why) {
    return {[why](Looked& looked) -> std::optional<AwsCredentials> {
      looked.push_back(why);
      return std::nullopt;
    }};
  }
  static Provider<AwsCredentials> unreachable() {
    return {[](Looked&) -> std::optional<AwsCredentials> {
      FAIL("asked a provider behind the one that answered");
      return std::nullopt;
    }};
  }
};

}  // namespace

TEST_CASE("CredentialsSource: without any it says where it looked, and how to give some") {
  AwsCredentialsSource source("s3", "a hint",
                              {Counter::nothing("first: not set"), Counter::nothing("second: no")},
                              system_now);
  const Error error = error_from([&] { source.get(); });
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "no-credentials");
  CHECK(error.message == "no credentials found; looked at\nfirst: not set\nsecond: no");
  CHECK(error.hint == "a hint");
}

TEST_CASE("CredentialsSource: asks once, and again five minutes before they expire") {
  Counter counter;
  auto source = counter.source();
  const auto first = source.get();
  CHECK(first->access_key_id == "AK1");
  counter.now = 1000 + 3600 - 301;
  CHECK(source.get() == first);
  counter.now = 1000 + 3600 - 300;
  CHECK(source.get()->access_key_id == "AK2");
  CHECK(counter.loads == 2);
}

TEST_CASE("CredentialsSource: permanent ones are asked for once") {
  Counter counter;
  counter.lasts_seconds.reset();
  auto source = counter.source();
  source.get();
  counter.now = 4'000'000'000;
  source.get();
  CHECK(counter.loads == 1);
}

TEST_CASE(
    "CredentialsSource: where renewing fails the old ones serve to their end, and no longer") {
  Counter counter;
  auto source = counter.source();
  const auto first = source.get();
  counter.fails = true;
  counter.now = 1000 + 3600 - 200;
  CHECK(source.get() == first);
  CHECK(source.get() == first);
  CHECK(counter.loads == 2);  // the next attempt is a minute away
  counter.now = 1000 + 3600 - 140;
  CHECK(source.get() == first);
  CHECK(counter.loads == 3);
  counter.now = 1000 + 3600;
  CHECK(error_from([&] { source.get(); }).reason == "connect");
  counter.fails = false;
  CHECK(source.get()->access_key_id == "AK5");
}

TEST_CASE("CredentialsSource: fresh ones that look expired are used, by a clock that is wrong") {
  Counter counter;
  counter.lasts_seconds = -10;
  auto source = counter.source();
  CHECK(source.get()->access_key_id == "AK1");
  CHECK(source.get()->access_key_id == "AK1");
  counter.now = 1060;
  CHECK(source.get()->access_key_id == "AK2");
}

TEST_CASE("CredentialsSource: renew gives newer ones, once for all who were refused") {
  Counter counter;
  auto source = counter.source();
  const auto refused = source.get();
  const auto newer = source.renew(refused);
  CHECK(newer->access_key_id == "AK2");
  CHECK(source.renew(refused) == newer);
  CHECK(source.get() == newer);
  CHECK(counter.loads == 2);
}

TEST_CASE("CredentialsSource: renew with nothing newer says that they expired") {
  AwsCredentialsSource source("s3", "", {{[](Looked&) -> std::optional<AwsCredentials> {
                                AwsCredentials fixed;
                                fixed.access_key_id = "AK";
                                fixed.provider = "the environment";
                                return fixed;
                              }}},
                              system_now);
  const auto refused = source.get();
  const Error error = error_from([&] { source.renew(refused); });
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "credentials-expired");
  CHECK(says(error, "the environment has no newer ones"));
}

TEST_CASE("CredentialsSource: many threads at once make one request") {
  Counter counter;
  auto source = counter.source();
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) right += source.get()->access_key_id == "AK1";
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 800);
  CHECK(counter.loads == 1);
}

TEST_CASE("CredentialsSource: while one thread renews, the others go on with valid ones") {
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false;
  bool answer = true;
  std::atomic<std::int64_t> now = 1000;
  AwsCredentialsSource source("s3", "", {{[&](Looked&) -> std::optional<AwsCredentials> {
                                std::unique_lock lock(mutex);
                                asked = true;
                                changed.notify_all();
                                changed.wait(lock, [&] { return answer; });
                                AwsCredentials made;
                                made.access_key_id = "AK" + std::to_string(now.load());
                                made.expires_at = now + 3600;
                                return made;
                              }}},
                              [&] { return now.load(); });
  const auto first = source.get();
  now = 1000 + 3600 - 100;
  {
    const std::lock_guard lock(mutex);
    asked = answer = false;
  }
  AwsCredentialsSource::Pointer renewed;
  std::thread renewing([&] { renewed = source.get(); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return asked; });
  }
  CHECK(source.get() == first);
  {
    const std::lock_guard lock(mutex);
    answer = true;
    changed.notify_all();
  }
  renewing.join();
  CHECK(renewed->access_key_id == "AK4500");
}
