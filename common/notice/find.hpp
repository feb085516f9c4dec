#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "notice/metadata.hpp"
#include "notice/notice.hpp"

namespace mad {

/// Which cloud this machine is in.
///
/// All three services are asked at once, again and again, each in its own way: EC2's gives a
/// session token, Google's puts its name into every answer, Azure's lists its versions.  The
/// first that answers so is it; where none has after `time`, what the machine's firmware says
/// (the files of `dmi_directory`), for a service may be slow at boot; it is not looked at with
/// an endpoint of the user's own.  Takes no longer than `time`, 1.5 seconds.
///
/// Starts threads; a signal ends it (Interrupted).
std::optional<Cloud> find_cloud(const std::string& endpoint,
                                std::chrono::milliseconds time = std::chrono::milliseconds(1500),
                                const std::string& dmi_directory = "/sys/class/dmi/id");

}  // namespace mad
