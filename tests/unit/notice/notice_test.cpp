#include "notice/notice.hpp"

#include "notice/complaints.hpp"
#include "support/catch.hpp"

using namespace mad;

namespace {

Notice azure_preemption() {
  return {Cloud::azure, NoticeKind::preemption, 1'700'000'030, "id", "{\"a\": \"b\"}"};
}

std::optional<std::string> variable_of(const NoticeVariables& variables, const std::string& name) {
  for (const auto& [key, value] : variables) {
    if (key == name) return value;
  }
  return "not named";
}

Error failure_with(const std::string& reason, const std::string& message) {
  return {ExitCode::remote, reason, "http://m", message};
}

}  // namespace

TEST_CASE("notice_variables: a body that no variable takes is left out") {
  Notice notice = azure_preemption();
  notice.body.assign(std::size_t{64} << 10U, 'x');
  CHECK(variable_of(notice_variables(notice, 0), "MAD_NOTICE_BODY") == notice.body);
  notice.body += 'x';
  CHECK(variable_of(notice_variables(notice, 0), "MAD_NOTICE_BODY") == "");
}

TEST_CASE("format_notice: one line, what is ours first, the body as a string") {
  CHECK(format_notice(azure_preemption()) ==
        "{\"provider\":\"azure\",\"kind\":\"preemption\",\"deadline\":1700000030,"
        "\"event_id\":\"id\",\"body\":\"{\\\"a\\\": \\\"b\\\"}\"}\n");
  const Notice rebalance{Cloud::aws, NoticeKind::rebalance, std::nullopt, "", "\n"};
  CHECK(format_notice(rebalance) ==
        "{\"provider\":\"aws\",\"kind\":\"rebalance\",\"deadline\":null,\"body\":\"\\n\"}\n");
}

TEST_CASE("notice_variables: MAD_DEADLINE is there for as long as it is ahead") {
  Notice notice = azure_preemption();
  CHECK(variable_of(notice_variables(notice, 1'700'000'000), "MAD_DEADLINE") == "1700000030");
  CHECK(variable_of(notice_variables(notice, 1'700'000'030), "MAD_DEADLINE") == std::nullopt);
  CHECK(variable_of(notice_variables(notice, 1'700'000'030), "MAD_NOTICE_DEADLINE") ==
        "1700000030");
  notice.deadline = std::nullopt;
  CHECK(variable_of(notice_variables(notice, 0), "MAD_DEADLINE") == "not named");
  notice.body = std::string("a\0b", 3);
  CHECK(variable_of(notice_variables(notice, 0), "MAD_NOTICE_BODY") == "a");
}

TEST_CASE("parse_notice_kinds: names with commas, and nothing else") {
  CHECK(parse_notice_kinds("rebalance,preemption") ==
        std::vector<NoticeKind>{NoticeKind::rebalance, NoticeKind::preemption});
  for (const char* list : {"", "preemption,", "preempt", "all"}) {
    CHECK_THROWS_AS(parse_notice_kinds(list), Error);
  }
}

TEST_CASE("Complaints: each kind of failure once, and that they are over") {
  Complaints complaints("http://m");
  const auto refused = failure_with("http-status", "the server answers 503");
  CHECK(complaints.failed(refused) == "http://m: the server answers 503; asking on");
  CHECK(!complaints.failed(refused));
  CHECK(complaints.failed(failure_with("http-status", "the server answers 429")));
  CHECK(complaints.failed(failure_with("timeout", "after 2001 ms")));
  CHECK(!complaints.failed(failure_with("timeout", "after 2003 ms")));
  // One answer between failures is not the end of them.
  CHECK(!complaints.answered());
  CHECK(!complaints.failed(refused));
  CHECK(!complaints.answered());
  CHECK(!complaints.answered());
  CHECK(complaints.answered() == "http://m: answers again");
  CHECK(!complaints.answered());
  CHECK(complaints.failed(refused));
}

TEST_CASE("Complaints: the pauses grow, to two seconds") {
  Complaints complaints("http://m");
  std::chrono::milliseconds last{0};
  for (int i = 0; i < 100; ++i) {
    complaints.failed(failure_with("connect", "refused"));
    CHECK(complaints.pause() >= last);
    last = complaints.pause();
  }
  CHECK(last == std::chrono::seconds(2));
  complaints.answered();
  complaints.failed(failure_with("connect", "refused"));
  CHECK(complaints.pause() < std::chrono::seconds(1));
}
