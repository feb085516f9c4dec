#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/fd.hpp"
#include "transport/transport.hpp"

namespace mad {

struct HttpRequest {
  Url url;
  std::vector<std::string> headers;
  /// Send the URL's userinfo, or what netrc knows for the host.
  bool with_credentials = false;
  /// The server chose this URL, not the user: metadata addresses are refused at the
  /// moment of connecting, whatever name led there.
  bool redirected = false;
};

/// The status line and headers of the final answer.
struct HttpHead {
  int status = 0;
  /// Names in lower case, values trimmed.
  std::vector<std::pair<std::string, std::string>> headers;
  /// The first of that name, or nothing.
  std::optional<std::string_view> find(std::string_view name) const;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// Whether the body is wanted; without it the exchange ends here, successfully.
  virtual bool head(const HttpHead& head) = 0;
  virtual void body(Bytes bytes) = 0;
};

/// An exchange that did not come to its end.
struct HttpFailure {
  bool transient = false;
  std::string reason;
  std::string message;
  std::string hint;
};

/// One request, one answer; no redirect, no retry.  The only file that knows libcurl.
///
/// Proxies are taken from the environment as curl does.  What the handler throws comes
/// out of perform(), and so does Interrupted when a signal arrives.
class HttpClient {
 public:
  explicit HttpClient(const TransportOptions& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Nothing where the answer came whole, or its body was not wanted.
  std::optional<HttpFailure> perform(const HttpRequest& request, HttpHandler& handler);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
