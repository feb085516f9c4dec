#pragma once

#include "credentials/http_port.hpp"
#include "transport/http_client.hpp"

namespace mad {

/// How credentials are asked for: over HttpClient, with the timeouts and CAs of `options`
/// and none of its headers.  Any number of threads.
class ClientPort final : public HttpPort {
 public:
  explicit ClientPort(const TransportOptions& options);
  HttpAnswer ask(const HttpAsk& ask) override;

 private:
  HttpClientPool clients_;
};

}  // namespace mad
