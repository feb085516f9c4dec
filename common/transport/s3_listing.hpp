#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "transport/s3_session.hpp"
#include "transport/transport.hpp"

namespace mad {

inline constexpr std::size_t k_max_s3_page_bytes = std::size_t{16} << 20U;

/// A key of a listing with encoding-type=url: as a form is encoded, a blank as `+`.
std::string decode_s3_listed(std::string_view text, const std::string& subject);

/// Transport::list_uploads: ListMultipartUploads, and for each of them ListParts.
std::vector<ListedUpload> list_s3_uploads(S3Session& session, const Url& prefix);
void remove_s3_upload(S3Session& session, const ListedUpload& upload);

}  // namespace mad
