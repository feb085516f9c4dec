#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/az_session.hpp"

namespace mad {

/// In base64, as Content-MD5.
std::string az_content_md5(Bytes bytes);
/// Throws Error(remote, `checksum-mismatch`) where the store acknowledges other bytes than
/// it was sent.
void check_az_acknowledged(const HttpReply& reply, const std::string& md5,
                           const std::string& subject);

/// Condition and metadata as headers.
std::vector<std::pair<std::string, std::string>> az_put_headers(const PutOptions& options);

/// Blocks, and the list of them.  Both references outlive it.
std::unique_ptr<Upload> begin_az_upload(AzSession& session, Transport& transport, const Url& url,
                                        const PutOptions& options);

}  // namespace mad
