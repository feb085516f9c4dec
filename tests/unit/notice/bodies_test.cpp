#include "notice/bodies.hpp"

#include "support/catch.hpp"

using namespace mad;

namespace {

template <class Parse>
bool is_bad_answer(const Parse& parse) {
  const Error error = mad::test::error_from(parse);
  return error.code == ExitCode::remote && error.reason == "bad-answer";
}

}  // namespace

TEST_CASE("parse_aws_action: the action and its time, and an unreadable time is none") {
  // From "Spot Instance interruption notices" of EC2's user guide.
  const auto action =
      parse_aws_action(R"({"action": "stop", "time": "2017-09-18T08:22:00Z"})", "aws");
  CHECK(action.action == "stop");
  CHECK(action.time == 1'505'722'920);
  CHECK(!parse_aws_action(R"({"action": "stop", "time": "soon"})", "aws").time);
  CHECK(!parse_aws_action(R"({"action": "hibernate"})", "aws").time);
}

TEST_CASE("notice bodies: what is none is a bad answer") {
  for (const char* body : {"", "null", "[]", "{", "{}", R"({"action": 1})", "\xff", "<html>"}) {
    INFO(body);
    CHECK(is_bad_answer([&] { parse_aws_action(body, "aws"); }));
    CHECK(is_bad_answer([&] { parse_aws_rebalance(body, "aws"); }));
    CHECK(is_bad_answer([&] { parse_azure_events(body, "azure"); }));
  }
  for (const char* body : {R"({"Events": {}})", R"({"Events": [1]})", R"({"Events": [{}]})",
                           R"({"Events": [{"EventId": 7}]})"}) {
    INFO(body);
    CHECK(is_bad_answer([&] { parse_azure_events(body, "azure"); }));
  }
  const std::string deep(100'000, '[');
  CHECK(is_bad_answer([&] { parse_azure_events(R"({"Events": )" + deep, "azure"); }));
}

TEST_CASE("parse_azure_events: kinds, names, and when, of what is not over") {
  const auto events = parse_azure_events(
      R"({"DocumentIncarnation": 2, "Events": [
        {"EventId": "a", "EventType": "Preempt", "ResourceType": "VirtualMachine",
         "Resources": ["vm_1", "vm_2"], "EventStatus": "Scheduled",
         "NotBefore": "Mon, 19 Sep 2016 18:29:47 GMT"},
        {"EventId": "b", "EventType": "Terminate", "Resources": [], "EventStatus": "Started",
         "NotBefore": ""},
        {"EventId": "c", "EventType": "Freeze", "EventStatus": "Scheduled",
         "NotBefore": "2016-09-19T18:29:47Z"},
        {"EventId": "d", "EventType": "Reboot", "EventStatus": "Completed"},
        {"EventId": "e", "EventType": "Preempt", "EventStatus": "Canceled"}]})",
      "azure");
  REQUIRE(events.size() == 3);
  CHECK(events[0].kind == NoticeKind::preemption);
  CHECK(events[0].not_before == 1'474'309'787);
  CHECK(events[0].resources == std::vector<std::string>{"vm_1", "vm_2"});
  CHECK(events[1].kind == NoticeKind::preemption);
  CHECK(!events[1].not_before);
  CHECK(events[2].kind == NoticeKind::maintenance);
  CHECK(events[2].not_before == 1'474'309'787);
}
