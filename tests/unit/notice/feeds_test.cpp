#include <chrono>

#include "notice/aws.hpp"
#include "notice/azure.hpp"
#include "notice/gcp.hpp"
#include "support/catch.hpp"
#include "unit/credentials/scripted_http.hpp"

using namespace mad;
using mad::test::World;

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

const NoticeSettings k_here{"http://m", std::chrono::milliseconds(0), ""};
const std::string k_token = "PUT http://m/latest/api/token";
const std::string k_action = "GET http://m/latest/meta-data/spot/instance-action";
const std::string k_preempted = "GET http://m/computeMetadata/v1/instance/preempted";
const std::string k_name =
    "GET http://m/metadata/instance/compute/name?api-version=2021-02-01&format=text";
const std::string k_events = "GET http://m/metadata/scheduledevents?api-version=2020-07-01";
const std::string k_preempt =
    R"({"Events": [{"EventId": "a", "EventType": "Preempt", "Resources": ["VM_1"],
        "NotBefore": "Tue, 14 Nov 2023 22:13:50 GMT"}]})";

Headers google(const std::string& etag) {
  return {{"metadata-flavor", "Google"}, {"etag", etag}};
}

std::string waiting_for(const std::string& etag) {
  return k_preempted + "?wait_for_change=true&last_etag=" + etag + "&timeout_sec=5";
}

}  // namespace

TEST_CASE("aws feed: a token is fetched once, renewed on a 401, and one notice stays one") {
  World world;
  const std::string going = R"({"action":"terminate","time":"2023-11-14T22:15:20Z"})";
  world.http.expect(k_token, 200, "T1");
  world.http.expect(k_action, 404, "");
  world.http.expect(k_action, 401, "");
  world.http.expect(k_token, 200, "T2");
  world.http.expect(k_action, 200, going);
  world.http.expect(k_action, 200, going);
  world.http.expect(k_action, 404, "");
  world.http.expect(k_action, 200, going);
  const Feeds feeds = aws_feeds(world.surroundings(), k_here);
  CHECK(feeds[0]->ask().empty());
  const auto notices = feeds[0]->ask();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].kind == NoticeKind::preemption);
  CHECK(notices[0].deadline == world.now + 120);
  CHECK(notices[0].body == going);
  CHECK(world.http.sent_header(4, "X-aws-ec2-metadata-token") == "T2");
  CHECK(feeds[0]->ask().empty());
  // Taken back, and said again: that is another one.
  CHECK(feeds[0]->ask().empty());
  CHECK(feeds[0]->ask().size() == 1);
  CHECK(world.http.done());
}

TEST_CASE("aws feed: a second 401, or no token, is an error and not a notice") {
  World world;
  world.http.expect(k_token, 200, "T1");
  world.http.expect(k_action, 401, "");
  world.http.expect(k_token, 200, "T2");
  world.http.expect(k_action, 401, "");
  world.http.expect(k_action, 503, "");
  world.http.expect(k_action, 401, "");
  world.http.expect(k_token, 403, "");
  const Feeds feeds = aws_feeds(world.surroundings(), k_here);
  for (const char* status : {"401", "503", "403"}) {
    const Error error = mad::test::error_from([&] { feeds[0]->ask(); });
    CHECK(error.code == ExitCode::remote);
    CHECK(mad::test::says(error, status));
  }
  CHECK(world.http.done());
}

TEST_CASE("aws feed: the deadline is by this machine's clock, whatever the service's says") {
  for (const std::int64_t ahead : {-3600, -1, 0, 1, 3600}) {
    World world;
    INFO(ahead);
    world.now = 1'700'000'000 - ahead;
    world.http.expect(k_token, 200, "T");
    world.http.expect(k_action, 200, R"({"action":"stop","time":"2023-11-14T22:15:20Z"})",
                      {{"date", "Tue, 14 Nov 2023 22:13:20 GMT"}});
    const auto notices = aws_feeds(world.surroundings(), k_here)[0]->ask();
    REQUIRE(notices.size() == 1);
    // A second is what a Date cannot tell.
    CHECK(std::abs(*notices[0].deadline - (world.now + 120)) <= 1);
  }
}

TEST_CASE("gcp feed: what changes between two questions is not missed, whatever comes between") {
  World world;
  world.http.expect(k_preempted, 200, "FALSE\n", google("e1"));
  world.http.expect(waiting_for("e1"), 503, "");
  world.http.expect(waiting_for("e1"), 0, "");
  world.http.expect(waiting_for("e1"), 200, "PERHAPS", google("e2"));
  world.http.expect(waiting_for("e1"), 200, "TRUE", {{"etag", "e2"}});
  world.http.expect(waiting_for("e1"), 200, "TRUE", google("e2"));
  world.http.expect(waiting_for("e2"), 200, "TRUE", google("e2"));
  const Feeds feeds = gcp_feeds(world.surroundings(), k_here);
  CHECK(feeds[0]->ask().empty());
  for (int i = 0; i < 4; ++i) CHECK_THROWS_AS(feeds[0]->ask(), Error);
  const auto notices = feeds[0]->ask();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].deadline == world.now + 30);
  CHECK(feeds[0]->interval().count() == 0);
  CHECK(feeds[0]->ask().empty());
  // A service that does not wait is not asked without a pause.
  CHECK(feeds[0]->interval().count() > 0);
  CHECK(world.http.sent_header(5, "Metadata-Flavor") == "Google");
  CHECK(world.http.done());
}

TEST_CASE("azure feed: only events of this machine, in whatever case, and each once") {
  World world;
  world.http.expect(k_name, 200, "vm_1");
  world.http.expect(k_events, 200, R"({"Events": []})");
  world.http.expect(k_events, 200, k_preempt);
  world.http.expect(k_events, 200, k_preempt);
  world.http.expect(k_events, 200,
                    R"({"Events": [{"EventId": "b", "EventType": "Preempt",
                        "Resources": ["vm_2"]}]})");
  const Feeds feeds = azure_feeds(world.surroundings(), k_here);
  CHECK(feeds[0]->ask().empty());
  const auto notices = feeds[0]->ask();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].event_id == "a");
  CHECK(notices[0].deadline == world.now + 30);
  CHECK(feeds[0]->ask().empty());
  CHECK(feeds[0]->ask().empty());
  // The first answer about events may take two minutes.
  CHECK(world.http.asked[1].timeout > std::chrono::minutes(2));
  CHECK(world.http.asked[2].timeout < std::chrono::seconds(5));
  CHECK(world.http.done());
}

TEST_CASE("azure feed: without a name nothing is taken for ours, and nothing is missed") {
  World world;
  world.http.expect(k_name, 404, "");
  world.http.expect(k_events, 200, k_preempt);
  world.http.expect(k_name, 200, "VM_1");
  world.http.expect(k_events, 200, k_preempt);
  const Feeds feeds = azure_feeds(world.surroundings(), k_here);
  const Error error = mad::test::error_from([&] { feeds[0]->ask(); });
  CHECK(mad::test::says(error, "/compute/name"));
  CHECK(feeds[0]->ask().size() == 1);
}

TEST_CASE("clock_ahead_s: a Date within the exchange agrees, one outside is off by so much") {
  HttpAnswer answer;
  CHECK(clock_ahead_s(answer, 100, 200) == 0);
  answer.headers = {{"date", "Thu, 01 Jan 1970 00:02:30 GMT"}};
  CHECK(clock_ahead_s(answer, 100, 200) == 0);
  CHECK(clock_ahead_s(answer, 151, 152) == 0);
  CHECK(clock_ahead_s(answer, 160, 161) == -10);
  CHECK(clock_ahead_s(answer, 100, 140) == 10);
}
