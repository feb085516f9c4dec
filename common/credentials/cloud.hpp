#pragma once

#include <optional>
#include <string>

namespace mad {

enum class Cloud { aws, gcp, azure };

/// The cloud that this machine is in, as its firmware says (the files of `dmi_directory`).
std::optional<Cloud> cloud_of_firmware(const std::string& dmi_directory = "/sys/class/dmi/id");

}  // namespace mad
