#include "transport/store_reply.hpp"

#include "base/log.hpp"
#include "credentials/xml.hpp"

namespace mad {
bool is_store_word(std::string_view text) {
  constexpr std::size_t k_longest = 64;
  constexpr std::string_view k_alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !text.empty() && text.size() <= k_longest &&
         text.find_first_not_of(k_alphabet) == std::string_view::npos;
}

std::string xml_error_code(const HttpReply& reply) {
  if (reply.body.find("Error>") == std::string::npos) return {};
  try {
    const XmlElement root = parse_xml(reply.body, {});
    const std::string_view code = root.text_of("Code");
    if (root.name == "Error" && is_store_word(code)) return std::string(code);
  } catch (const Error&) {
    // The status says enough.
  }
  return {};
}

Error bad_answer(const std::string& subject, const std::string& what) {
  return {ExitCode::remote, "bad-answer", subject, what};
}

Error store_denied(const std::string& subject, int status, const std::string& code,
                   const std::string& provider) {
  std::string what = "the store answers " + std::to_string(status);
  if (!code.empty()) what += " " + code;
  what += provider.empty() ? "\nasked without credentials" : "\ncredentials: " + provider;
  return {ExitCode::access_denied, "access-denied", subject, what};
}

std::string credentials_name(const std::string& provider, const std::vector<std::string>& headers) {
  return gives_authorization(headers) ? "the Authorization header given" : provider;
}

Error bucket_missing(const std::string& subject, const std::string& bucket,
                     const std::string& where) {
  return {ExitCode::not_found, "bucket-missing", subject,
          "there is no bucket '" + printable(bucket, 80) + "' at " + printable(where)};
}

Error stored_size_mismatch(const std::string& subject, std::uint64_t sent_bytes,
                           std::optional<std::uint64_t> stored_bytes) {
  return {ExitCode::remote, "size-mismatch", subject,
          "sent " + std::to_string(sent_bytes) + " bytes, the store has " +
              (stored_bytes ? std::to_string(*stored_bytes) : "an unknown number")};
}

std::optional<ObjectInfo> stat_if_allowed(Transport& transport, const Url& url) {
  try {
    return transport.stat(url);
  } catch (const Error& error) {
    if (error.reason != "access-denied") throw;
    log_verbose(error.one_line() + "; what was written is not looked at");
    return std::nullopt;
  }
}

bool is_own_work(const ObjectInfo& present, const PutOptions& options, std::uint64_t size_bytes) {
  // Without metadata there is no digest to know it by.
  return !options.metadata.empty() && present.metadata == options.metadata &&
         present.size_bytes == size_bytes;
}

}  // namespace mad
