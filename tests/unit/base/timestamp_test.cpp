#include "base/timestamp.hpp"

#include "support/catch.hpp"

namespace mad {

TEST_CASE("parse_rfc3339: keeps a fraction, to the nanosecond") {
  const auto at = [](std::string_view text) {
    const auto parsed = parse_rfc3339(text);
    return parsed ? std::pair(parsed->seconds, parsed->nanoseconds)
                  : std::pair<std::int64_t, std::uint32_t>(-1, 0);
  };
  CHECK(at("2013-05-24T00:00:00Z") == std::pair<std::int64_t, std::uint32_t>(1369353600, 0));
  CHECK(at("2013-05-24T00:00:00.05Z") ==
        std::pair<std::int64_t, std::uint32_t>(1369353600, 50'000'000));
  CHECK(at("2013-05-24T02:30:00.123456789999+02:30") ==
        std::pair<std::int64_t, std::uint32_t>(1369353600, 123'456'789));
  CHECK_FALSE(parse_rfc3339("2013-05-24T00:00:00.Z"));
  CHECK_FALSE(parse_rfc3339("2013-02-30T00:00:00Z"));
  CHECK_FALSE(parse_rfc3339("2013-05-24"));
}

TEST_CASE("Timestamp: the earlier one is the lesser, to the nanosecond") {
  CHECK(Timestamp{1, 999'999'999} < Timestamp{2, 0});
  CHECK(Timestamp{2, 0} < Timestamp{2, 1});
  CHECK_FALSE(Timestamp{2, 1} < Timestamp{2, 1});
}

TEST_CASE("format_rfc3339: what parse_rfc3339 reads") {
  for (const std::int64_t seconds : {0LL, 1'369'353'600LL, -62'167'219'200LL, 253'402'300'799LL}) {
    CHECK(parse_rfc3339(format_rfc3339(seconds))->seconds == seconds);
  }
  CHECK(format_rfc3339(1'369'353'600) == "2013-05-24T00:00:00Z");
  CHECK(format_rfc3339(INT64_MIN) == "0000-01-01T00:00:00Z");
  CHECK(format_rfc3339(INT64_MAX) == "9999-12-31T23:59:59Z");
}

}  // namespace mad
