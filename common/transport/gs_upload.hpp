#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "transport/gs_json.hpp"
#include "transport/gs_session.hpp"

namespace mad {

/// Each chunk of a resumable upload but the last is a multiple of this.
inline constexpr std::uint64_t k_gs_chunk_bytes = std::uint64_t{256} << 10U;

/// What a write says in its query: kind, name, condition, and which fields are answered.
Parameters gs_upload_query(const std::string& kind, const Url& url, const PutOptions& options);

/// Throws Error(remote, `size-mismatch` or `checksum-mismatch`) where what the store has is
/// not what it was sent.
void require_stored(const GsObject& stored, std::uint64_t sent_bytes, const std::string& sent_crc,
                    const std::string& subject);

/// A resumable upload.  `session` outlives it.
///
/// A part goes up to its last multiple of 256 KiB; the rest, which only the last part has,
/// waits in memory for finish(), whose request alone says that this is all.  Where an answer
/// is lost the session is asked how far it is, and what it lacks is sent again.
std::unique_ptr<Upload> begin_gs_upload(GsSession& session, const Url& url,
                                        const PutOptions& options);

}  // namespace mad
