#pragma once

#include <string>
#include <vector>

#include "verify/checks.hpp"

namespace CLI {
class App;
}

namespace mad {

/// mad-verify's options as they were typed.
struct Options {
  std::vector<std::string> files;
  std::string manifest, sha256, expect, max_size, spool_dir, salvage;
  std::vector<std::string> trusted_keys;
  std::string not_before, min_step;
  bool stream = false, unsealed = false, skip_integrity_check = false, json = false;
  bool all_cores = false, no_sandbox = false;
};

void declare(CLI::App& app, Options& options);

/// Opens nothing.  Throws usage_error.
VerifyOptions parse(const Options& options);

}  // namespace mad
