#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "transport/http_calls.hpp"

namespace mad {

/// What object stores' refusals have in common.

/// How often it is tried to take an upload back.
inline constexpr int k_abort_attempts = 3;

/// What may stand in a message as a store's own word for something: short, `[A-Za-z0-9._-]`.
bool is_store_word(std::string_view text);

/// A refusal's identifier, `<Error><Code>…`, of S3, Azure and GCS's XML API; empty where the
/// body is none, or where it is no identifier.  Its message is not for us: it may quote what
/// was signed.
std::string xml_error_code(const HttpReply& reply);

/// Error(remote, `bad-answer`).
Error bad_answer(const std::string& subject, const std::string& what);
/// Error(access_denied, `access-denied`): the status, the code, whose credentials they were.
Error store_denied(const std::string& subject, int status, const std::string& code,
                   const std::string& provider);
/// What a request was authorized with, for store_denied: `provider`, unless the user's own
/// `headers` (-H) hold an Authorization.
std::string credentials_name(const std::string& provider, const std::vector<std::string>& headers);
/// Error(not_found, `bucket-missing`).
Error bucket_missing(const std::string& subject, const std::string& bucket,
                     const std::string& where);
/// Error(remote, `size-mismatch`): what the store has is not what it was sent.
Error stored_size_mismatch(const std::string& subject, std::uint64_t sent_bytes,
                           std::optional<std::uint64_t> stored_bytes);

/// Transport::stat, for a look at what was written; nothing also where the credentials allow
/// writing and not reading.
std::optional<ObjectInfo> stat_if_allowed(Transport& transport, const Url& url);

/// Whether `present` is what a write with `options` of `size_bytes` leaves: for a
/// conditional write that was refused after an attempt whose answer was lost, so that it
/// may be our own work that stands in the way.
bool is_own_work(const ObjectInfo& present, const PutOptions& options, std::uint64_t size_bytes);

}  // namespace mad
