#pragma once

#include <string>
#include <vector>

#include "verify/trust.hpp"

namespace CLI {
class App;
}

namespace mad {

/// The options that say whom to trust.
struct TrustOptions {
  std::vector<std::string> trusted_keys;
  std::string not_before;
  std::string min_step;
};

void declare_trust(CLI::App& app, TrustOptions& options);

/// Opens nothing.  Throws usage_error.
Trust parse_trust(const TrustOptions& options);

}  // namespace mad
