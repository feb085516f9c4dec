#include "notice/notice.hpp"
#include "fuzz/fuzz.hpp"
#include "notice/bodies.hpp"

// What metadata services announce.

namespace {

using mad::fuzz::require;

void try_line(std::string_view body) {
  mad::Notice notice;
  notice.body = body;
  notice.event_id = body.substr(0, 40);
  const std::string line = mad::format_notice(notice);
  require(line.find('\n') == line.size() - 1, "a notice is one line");
  for (const auto& [name, value] : mad::notice_variables(notice, 0)) {
    require(!value || value->find('\0') == std::string::npos, "a variable can be set");
  }
}

}  // namespace

MAD_FUZZ_TARGET(notice) {
  try_line(input);
  mad::fuzz::refuses([&] {
    require(!mad::parse_aws_action(input, "aws").action.empty(), "an action has a name");
  });
  mad::fuzz::refuses(
      [&] { require(!mad::parse_aws_rebalance(input, "aws").empty(), "advice has a time"); });
  mad::fuzz::refuses([&] {
    for (const mad::AzureEvent& event : mad::parse_azure_events(input, "azure")) {
      require(!event.id.empty() && event.id.size() <= 256, "an event has a name of bounded size");
    }
  });
}
