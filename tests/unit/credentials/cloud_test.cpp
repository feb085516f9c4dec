#include "credentials/cloud.hpp"

#include <fstream>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;

TEST_CASE("cloud_of_firmware: by what each cloud writes there") {
  const mad::test::TemporaryDirectory directory;
  const auto write = [&](const char* file, const char* text) {
    std::ofstream(directory.file(file)) << text << '\n';
  };
  CHECK(!cloud_of_firmware(directory.path()));
  write("sys_vendor", "Microsoft Corporation");
  CHECK(!cloud_of_firmware(directory.path()));
  write("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77");
  CHECK(cloud_of_firmware(directory.path()) == Cloud::azure);
  write("product_name", "Google Compute Engine");
  CHECK(cloud_of_firmware(directory.path()) == Cloud::gcp);
  write("sys_vendor", "Amazon EC2");
  CHECK(cloud_of_firmware(directory.path()) == Cloud::aws);
}
