#include "notice/metadata.hpp"

#include "transport/retry.hpp"

namespace mad {

HttpAsk metadata_ask(std::string url, std::chrono::milliseconds timeout) {
  HttpAsk ask;
  ask.url = std::move(url);
  ask.timeout = timeout;
  ask.proxy = ProxyUse::never;
  return ask;
}

std::int64_t clock_ahead_s(const HttpAnswer& answer, std::int64_t asked_at,
                           std::int64_t answered_at) {
  const auto date = parse_http_date(answer.find("date").value_or(""));
  if (!date) return 0;
  if (*date < asked_at - 1) return *date - asked_at;
  if (*date > answered_at + 1) return *date - answered_at;
  return 0;
}

}  // namespace mad
