#include "transport/gs_json.hpp"

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "credentials/encoding.hpp"
#include "credentials/time.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

using nlohmann::json;

/// A page's object's metadata is the deepest that is read.
constexpr int k_deepest = 5;

/// Discarded where it is no JSON.
json parse_bounded(std::string_view text) {
  const json::parser_callback_t each = [](int depth, json::parse_event_t, json&) {
    return depth <= k_deepest;
  };
  return json::parse(text, each, false);
}

/// Empty where it is not there or no string.
std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

GsObject object_of(const json& resource, const std::string& subject) {
  if (!resource.is_object()) throw bad_answer(subject, "the answer is no JSON object");
  GsObject object;
  object.name = text_of(resource, "name");
  object.crc32c = text_of(resource, "crc32c");
  // 64-bit numbers are strings there.
  object.info.size_bytes = parse_decimal(text_of(resource, "size"));
  object.info.version = text_of(resource, "generation");
  object.info.modified_s = parse_timestamp(text_of(resource, "timeCreated"));
  if (!object.info.size_bytes || !parse_decimal(object.info.version)) {
    throw bad_answer(subject, "the answer gives an object no size or no generation");
  }
  if (const auto metadata = resource.find("metadata");
      metadata != resource.end() && metadata->is_object()) {
    for (const auto& [name, value] : metadata->items()) {
      if (value.is_string()) object.info.metadata[name] = value.get<std::string>();
    }
  }
  return object;
}

}  // namespace

GsObject parse_gs_object(std::string_view text, const std::string& subject) {
  return object_of(parse_bounded(text), subject);
}

GsPage parse_gs_page(std::string_view text, const std::string& subject) {
  const json answer = parse_bounded(text);
  if (!answer.is_object()) throw bad_answer(subject, "the answer is no listing");
  GsPage page;
  page.next_token = text_of(answer, "nextPageToken");
  const auto items = answer.find("items");
  if (items == answer.end()) return page;
  if (!items->is_array()) throw bad_answer(subject, "the answer is no listing");
  for (const json& item : *items) {
    page.objects.push_back(object_of(item, subject));
    if (page.objects.back().name.empty()) {
      throw bad_answer(subject, "the listing has an object without a name");
    }
  }
  return page;
}

std::string gs_error_reason(std::string_view text) {
  const json answer = parse_bounded(text);
  if (!answer.is_object()) return {};
  const auto error = answer.find("error");
  if (error == answer.end() || !error->is_object()) return {};
  const auto errors = error->find("errors");
  if (errors == error->end() || !errors->is_array() || errors->empty()) return {};
  const json& first = errors->front();
  const std::string reason = first.is_object() ? text_of(first, "reason") : std::string();
  return is_store_word(reason) ? reason : std::string();
}

std::string format_gs_metadata(const Metadata& metadata) {
  std::string text = "{\"metadata\":{";
  for (const auto& [name, value] : metadata) {
    if (text.back() != '{') text += ',';
    text += json_quote(name);
    text += ':';
    text += json_quote(value);
  }
  return text + "}}";
}

std::string format_gs_object(const PutOptions& options, std::string_view crc32c) {
  std::string text = format_gs_metadata(options.metadata);
  text.pop_back();
  text += ",\"contentType\":" + json_quote(options.content_type);
  if (!crc32c.empty()) text += ",\"crc32c\":" + json_quote(crc32c);
  return text + "}";
}

std::string format_crc32c(std::uint32_t crc) {
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    bytes += static_cast<char>(static_cast<unsigned char>(crc >> shift & 0xFFU));
  }
  return base64_encode(bytes);
}

}  // namespace mad
