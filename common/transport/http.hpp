#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace mad {

/// http and https (RFC 9110, 9112), written to as WebDAV servers are (RFC 4918: PUT,
/// DELETE).
///
/// Redirects, at most 10, are followed here: on another origin no header given and no
/// credential is sent any more; never from https to http, to another scheme, or to a
/// link-local or metadata address.  A cut transfer goes on with `Range` and `If-Range`
/// under a strong ETag, or a Last-Modified that is strong (RFC 9110, 8.8.2.2) and the
/// same length; without such a pin it starts again.  Certificates are always checked.
///
/// No metadata, no listing.  An upload collects its parts in an unnamed file ($TMPDIR),
/// so that the one request it becomes can be sent again.
std::unique_ptr<Transport> open_http_transport(const TransportOptions& options);

}  // namespace mad
