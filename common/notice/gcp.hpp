#pragma once

#include "credentials/surroundings.hpp"
#include "notice/feed.hpp"
#include "notice/metadata.hpp"

namespace mad {

/// `http://` and GCE_METADATA_HOST where that is set, else the usual address.
std::string gcp_endpoint(const Surroundings& surroundings);

/// Compute Engine: `instance/preempted` (preemption, in 30 seconds) and
/// `instance/maintenance-event` (maintenance, in 60).
///
/// Each is asked once without waiting, then with `wait_for_change` and the ETag of the last
/// answer that was understood: the service answers at the moment of the change, and what
/// changes between two questions is answered at once.  A question waits five seconds at most,
/// so that a connection that died silently hides a notice for little longer.
Feeds gcp_feeds(const Surroundings& surroundings, const NoticeSettings& settings);

}  // namespace mad
