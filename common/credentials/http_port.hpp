#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "credentials/secret.hpp"

namespace mad {

/// Metadata services answer for the machine itself and are never asked by way of a proxy.
enum class ProxyUse { from_environment, never };

struct HttpAsk {
  std::string method = "GET";
  /// Carries no secret, so it may be named in messages.
  std::string url;
  std::vector<std::pair<std::string, Secret>> headers;
  /// Sent with Content-Length where the method is POST or PUT, empty or not.
  Secret body;
  /// For the whole exchange, connecting included.
  std::chrono::milliseconds timeout{10'000};
  ProxyUse proxy = ProxyUse::from_environment;
  std::size_t max_answer_bytes = 65536;
};

struct HttpAnswer {
  int status = 0;
  /// Names in lower case, values trimmed.
  std::vector<std::pair<std::string, std::string>> headers;
  Secret body;
  /// The first of that name, or nothing.
  std::optional<std::string_view> find(std::string_view name) const;
};

/// How this layer reaches the services that hand out credentials; the transport above,
/// which alone knows libcurl, implements it.
///
/// One exchange a call: no redirect is followed, nothing tried again, no cookie or netrc
/// used, certificates are checked.  Any status is an answer.  Where no whole answer came
/// (name, connection, TLS, time, more than max_answer_bytes) it throws Error(remote);
/// on a signal, Interrupted.  Called by one thread at a time for each CredentialsSource,
/// so by several where a program holds several.
class HttpPort {
 public:
  virtual ~HttpPort() = default;
  virtual HttpAnswer ask(const HttpAsk& ask) = 0;
};

}  // namespace mad
