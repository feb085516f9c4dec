#include <optional>

#include "credentials/encoding.hpp"
#include "credentials/time.hpp"
#include "credentials/xml.hpp"
#include "fuzz/fuzz.hpp"
#include "transport/download.hpp"
#include "transport/gs_json.hpp"
#include "transport/retry.hpp"
#include "transport/store_reply.hpp"

// What object stores answer, as text.

namespace {

using mad::fuzz::require;

void try_xml(std::string_view text) {
  mad::fuzz::refuses([&] {
    const mad::XmlElement root = mad::parse_xml(text, "s3://b/k");
    require(!root.name.empty(), "an element has a name");
  });
  mad::HttpReply reply;
  reply.body = text;
  const std::string code = mad::xml_error_code(reply);
  require(code.empty() || mad::is_store_word(code), "a store's word is one");
}

void try_gs(std::string_view text) {
  mad::fuzz::refuses([&] { static_cast<void>(mad::parse_gs_object(text, "gs://b/k")); });
  mad::fuzz::refuses([&] { static_cast<void>(mad::parse_gs_page(text, "gs://b/k")); });
  const std::string reason = mad::gs_error_reason(text);
  require(reason.empty() || mad::is_store_word(reason), "a store's word is one");
}

void try_times(std::string_view text) {
  const auto after = mad::parse_retry_after(text, 1'700'000'000);
  require(!after || after->count() >= 0, "a wait is not negative");
  if (const auto time = mad::parse_http_date(text)) {
    require(mad::parse_http_date(mad::format_http_date(*time)) == time, "a date stays the same");
  }
  static_cast<void>(mad::parse_timestamp(text));
  if (const auto bytes = mad::base64_decode(text)) {
    require(mad::base64_encode(*bytes) == text, "base64 has one form");
  }
}

void try_head(std::string_view text) {
  mad::HttpHead head;
  head.status = mad::fuzz::take_choice(text, 2) == 0 ? 200 : 206;
  while (!text.empty()) {
    std::string_view value = mad::fuzz::take_field(text);
    const std::string_view name = value.substr(0, value.find(':'));
    value.remove_prefix(std::min(name.size() + 1, value.size()));
    head.headers.emplace_back(name, value);
  }
  for (const mad::PinRules& rules :
       {mad::pin_by_if_range(), mad::pin_by_if_match(), mad::pin_by_generation()}) {
    const mad::ObjectInfo info = mad::object_info(head, rules, "x-amz-meta-");
    require(info.size_bytes == mad::object_size(head), "the size is told alike");
  }
}

}  // namespace

MAD_FUZZ_TARGET(store_text) {
  const std::size_t kind = mad::fuzz::take_choice(input, 4);
  if (kind == 0) try_xml(input);
  if (kind == 1) try_gs(input);
  if (kind == 2) try_times(input);
  if (kind == 3) try_head(input);
}
