#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace mad {

/// s3://bucket/key, at AWS or at a store that speaks its protocol
/// (https://docs.aws.amazon.com/AmazonS3/latest/API/).
///
/// Ranges under `If-Match: ETAG`.  An object goes with its Content-MD5 and, over http, its
/// SHA-256 in the signature; a part with its SHA-256 in the signature, and with its MD5 where
/// nothing is signed or the store asks for it.  An upload's metadata is what was given at its
/// start.  Stores other than AWS are known to ignore a condition on CompleteMultipartUpload; there
/// it is a look beforehand (Capabilities::conditional_upload).
std::unique_ptr<Transport> open_s3_transport(const TransportOptions& options);

}  // namespace mad
