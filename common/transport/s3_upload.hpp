#pragma once

#include <memory>

#include "transport/s3_session.hpp"

namespace mad {

/// `Content-MD5` and what else an S3 request says of its body; `hash` is for S3Ask.
struct S3Payload {
  explicit S3Payload(Bytes bytes, bool signs_payload);
  MemoryBody body;
  std::string md5;   ///< 16 bytes
  std::string hash;  ///< empty where it is not signed
};

/// Conditions, metadata and content type as headers.
std::vector<std::pair<std::string, std::string>> s3_put_headers(const PutOptions& options);
/// The condition alone.
std::vector<std::pair<std::string, std::string>> s3_condition_headers(const PutOptions& options);

/// A multipart upload.  Both references outlive it.
std::unique_ptr<Upload> begin_s3_upload(S3Session& session, Transport& transport, const Url& url,
                                        const PutOptions& options);

}  // namespace mad
