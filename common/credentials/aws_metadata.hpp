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
  /// At `endpoint`; empty: where the environment says, else at the link-local address.
  explicit AwsMetadata(Surroundings surroundings, std::string endpoint = {});

  /// Nothing where the service answers 404, or where there is none: why() then says so.
  /// The failures of one that is there are Error(remote).
  std::optional<Secret> get(const std::string& path);
  const std::string& why() const { return why_; }

  /// Asks once, for whoever asks again in any case: whatever the service answers, with a token
  /// that is fetched, or renewed after a 401, where that is needed.  Throws Error(remote)
  /// where no answer or no token comes.
  HttpAnswer ask_once(const std::string& path, std::chrono::milliseconds timeout);
  const std::string& endpoint() const { return endpoint_; }

 private:
  HttpAsk ask_for(const std::string& path) const;
  HttpAsk ask_for_token() const;
  bool take_token(const HttpAnswer& answer);
  bool has_token() const { return !token_.empty() && surroundings_.now() < token_until_; }
  bool fetch_token();

  Surroundings surroundings_;
  std::string endpoint_;
  Secret token_;
  std::int64_t token_until_ = 0;
  bool answered_ = false;
  std::string why_;
};

}  // namespace mad
