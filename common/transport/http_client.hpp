#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/fd.hpp"
#include "transport/transport.hpp"

namespace mad {

/// What a request carries; read from its start again each time it is sent.
class HttpBody {
 public:
  virtual ~HttpBody() = default;
  virtual std::uint64_t size_bytes() const = 0;
  /// Fills all of `into`, which never reaches beyond the size.
  virtual void read(std::uint64_t offset, MutableBytes into) const = 0;
};

/// Borrows its bytes.
class MemoryBody final : public HttpBody {
 public:
  explicit MemoryBody(Bytes bytes) : bytes_(bytes) {}
  std::uint64_t size_bytes() const override { return bytes_.size(); }
  void read(std::uint64_t offset, MutableBytes into) const override;

 private:
  Bytes bytes_;
};

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::string> headers;
  /// Only together with credentials: what is meant for the origin that the user gave.
  std::vector<std::string> origin_headers;
  /// Sent with its Content-Length and without `Expect`; null: no body.
  const HttpBody* body = nullptr;
  /// Send the URL's userinfo, or what netrc knows for the host.
  bool with_credentials = false;
  /// The server chose this URL, not the user: metadata addresses are refused at the
  /// moment of connecting, whatever name led there.
  bool redirected = false;
  /// Never through a proxy, whatever the environment says: metadata services.
  bool bypass_proxy = false;
  /// Goes on when a signal has arrived or Stop is requested, so that what must be taken
  /// back can be; give it a time limit.
  bool past_interruption = false;
  /// Of the whole exchange; 0: none.
  std::chrono::milliseconds time_limit{0};
  /// What is said to be accepted; nothing that comes is ever decoded.
  std::string accept_encoding = "identity";
};

/// The status line and headers of the final answer.
struct HttpHead {
  int status = 0;
  /// Names in lower case, values trimmed.
  std::vector<std::pair<std::string, std::string>> headers;
  /// libcurl sent the request twice, by a kept connection that closed: the server may have
  /// done as it was asked already.
  bool sent_again = false;
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
/// Keeps its connections from one request to the next; one thread at a time.  Proxies are
/// taken from the environment as curl does.  What the handler or the body throws comes out
/// of perform(), and so do Interrupted when a signal arrives and Stopped.
class HttpClient {
 public:
  explicit HttpClient(const TransportOptions& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Nothing where the answer came whole, or its body was not wanted.
  std::optional<HttpFailure> perform(const HttpRequest& request, HttpHandler& handler);
  /// How often perform() sent its request: more than once where libcurl, by itself, asked
  /// again because a kept connection turned out to be closed; 0 where none could be opened.
  unsigned sends() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// HttpClients for several threads: as many as were ever in use at once.
class HttpClientPool {
 public:
  explicit HttpClientPool(TransportOptions options) : options_(std::move(options)) {}

  struct GiveBack {
    HttpClientPool* pool;
    void operator()(HttpClient* client) const noexcept;
  };
  /// One that no other thread has, given back when the pointer goes.
  using Lease = std::unique_ptr<HttpClient, GiveBack>;
  Lease lease();

 private:
  TransportOptions options_;
  std::mutex mutex_;
  std::size_t made_ = 0;
  std::vector<std::unique_ptr<HttpClient>> idle_;
};

}  // namespace mad
