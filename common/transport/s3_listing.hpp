#pragma once

#include <vector>

#include "transport/s3_session.hpp"
#include "transport/transport.hpp"

namespace mad {

/// Transport::list: ListObjectsV2.
void list_s3_objects(S3Session& session, const Url& prefix, const ListPage& page);

/// Transport::list_uploads: ListMultipartUploads, and for each of them ListParts.
std::vector<ListedUpload> list_s3_uploads(S3Session& session, const Url& prefix);
void remove_s3_upload(S3Session& session, const ListedUpload& upload);

}  // namespace mad
