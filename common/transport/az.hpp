#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace mad {

/// Block blobs of Azure (https://learn.microsoft.com/rest/api/storageservices/), as az_name.hpp
/// says they are named; azure:// is the same.  A shared access signature in the URL is used
/// for that URL alone.
///
/// Ranges under `If-Match: ETAG`.  Every body goes with its Content-MD5, which the service
/// checks.  A `-` in a metadata name is `_` there: Azure wants identifiers of C#.
///
/// An upload's blocks have ids of their own, so that of two writers each commits its own or
/// nothing; whoever commits discards what the other has not.  There is no way to take
/// single blocks back, and committing an empty list to be rid of them would show readers an
/// empty blob and discard the blocks of others: an aborted upload leaves its uncommitted
/// blocks, which no reader sees, until the next write of that blob or for a week, and says
/// so.
std::unique_ptr<Transport> open_az_transport(const Url& url, const TransportOptions& options);

}  // namespace mad
