#pragma once

#include <memory>

#include "transport/s3_session.hpp"

namespace mad {

/// In base64, as Content-MD5.
std::string s3_content_md5(Bytes bytes);
/// Conditions, metadata and content type as headers.
std::vector<std::pair<std::string, std::string>> s3_put_headers(const PutOptions& options);
/// The condition alone.
std::vector<std::pair<std::string, std::string>> s3_condition_headers(const PutOptions& options);

/// A multipart upload.  Both references outlive it.
std::unique_ptr<Upload> begin_s3_upload(S3Session& session, Transport& transport, const Url& url,
                                        const PutOptions& options);

}  // namespace mad
