#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "credentials/surroundings.hpp"

namespace mad {

/// EC2's instance metadata, version 2: with a session token, never without.
/// One thread at a time.
class AwsMetadata {
 public:
  explicit AwsMetadata(Surroundings surroundings);

  /// Nothing where the service answers 404, or where there is none: why() then says so.
  /// Once it has answered, its failures are Error(remote).
  std::optional<Secret> get(const std::string& path);
  const std::string& why() const { return why_; }

 private:
  HttpAsk ask_for(const std::string& path) const;
  bool fetch_token();

  Surroundings surroundings_;
  std::string endpoint_;
  Secret token_;
  std::int64_t token_until_ = 0;
  bool answered_ = false;
  std::string why_;
};

}  // namespace mad
