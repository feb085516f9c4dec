#include "credentials/cloud.hpp"

#include <fstream>

namespace mad {
namespace {

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::optional<Cloud> cloud_of_firmware(const std::string& dmi_directory) {
  const std::string vendor = first_line_of(dmi_directory + "/sys_vendor");
  if (vendor == "Amazon EC2") return Cloud::aws;
  if (first_line_of(dmi_directory + "/product_name") == "Google Compute Engine") return Cloud::gcp;
  // Hyper-V says Microsoft anywhere; the tag is Azure's.
  if (first_line_of(dmi_directory + "/chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77") {
    return Cloud::azure;
  }
  return std::nullopt;
}

}  // namespace mad
