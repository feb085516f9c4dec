#pragma once

#include <string>

#include "credentials/surroundings.hpp"
#include "notice/feed.hpp"
#include "notice/metadata.hpp"

namespace mad {

/// Azure's Scheduled Events: Preempt and Terminate are preemptions, all other events
/// maintenance.
///
/// Asked every 0.8 s (once a second is what its documentation advises).  The first answer may
/// take two minutes and is waited for.  Of the events, which are told to every machine of a
/// scale or availability set, those count whose Resources hold this machine's name, in
/// whatever case; each once, by its EventId, whether it is Scheduled or has Started.
Feeds azure_feeds(const Surroundings& surroundings, const NoticeSettings& settings);

/// Tells the service that the event need not wait any longer, for every machine among its
/// Resources.  Tried three times; throws Error(remote).
void acknowledge_azure_event(const Surroundings& surroundings, const NoticeSettings& settings,
                             const std::string& event_id);

}  // namespace mad
