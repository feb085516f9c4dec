#pragma once

#include "credentials/surroundings.hpp"
#include "notice/feed.hpp"
#include "notice/metadata.hpp"

namespace mad {

/// EC2: `spot/instance-action` (preemption) and `events/recommendations/rebalance`, each with
/// a session of its own (IMDSv2), every half second.  404 is the usual answer; the same action
/// at the same time is one notice for as long as it stands there.
/// AWS_EC2_METADATA_SERVICE_ENDPOINT counts where `settings` has no endpoint.
Feeds aws_feeds(const Surroundings& surroundings, const NoticeSettings& settings);

}  // namespace mad
