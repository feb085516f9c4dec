#include "transport/http_port.hpp"

#include "base/error.hpp"

namespace mad {
namespace {

TransportOptions without_user_settings(TransportOptions options) {
  options.headers.clear();
  options.use_netrc = false;
  return options;
}

/// The whole answer, or too much.
class AnswerHandler final : public HttpHandler {
 public:
  explicit AnswerHandler(const HttpAsk& ask) : ask_(ask) {}

  ~AnswerHandler() override { wipe(body_); }
  AnswerHandler(const AnswerHandler&) = delete;
  AnswerHandler& operator=(const AnswerHandler&) = delete;

  bool head(const HttpHead& head) override {
    head_ = head;
    // Grown once, so that no copy of a secret is left behind in freed memory.
    body_.reserve(ask_.max_answer_bytes);
    return true;
  }
  void body(Bytes bytes) override {
    if (bytes.size() > ask_.max_answer_bytes - body_.size()) {
      throw Error(ExitCode::remote, "http-status", printable(ask_.url),
                  "expected an answer of at most " + std::to_string(ask_.max_answer_bytes) +
                      " bytes, found more");
    }
    body_ += as_text(bytes);
  }
  HttpAnswer answer() { return {head_.status, head_.headers, Secret(std::move(body_))}; }

 private:
  const HttpAsk& ask_;
  HttpHead head_;
  std::string body_;
};

}  // namespace

ClientPort::ClientPort(const TransportOptions& options)
    : clients_(without_user_settings(options)) {}

HttpAnswer ClientPort::ask(const HttpAsk& ask) {
  HttpRequest request;
  request.method = ask.method;
  request.url = parse_url(ask.url);
  for (const auto& [name, value] : ask.headers) {
    // A header without a value is written so; `Name:` would take libcurl's own away.
    request.headers.push_back(value.empty() ? name + ";"
                                            : name + ": " + std::string(value.reveal()));
  }
  const MemoryBody body(as_bytes(ask.body.reveal()));
  if (ask.method == "POST" || ask.method == "PUT") request.body = &body;
  request.bypass_proxy = ask.proxy == ProxyUse::never;
  request.time_limit = ask.timeout;
  AnswerHandler handler(ask);
  const auto failure = clients_.lease()->perform(request, handler);
  for (std::string& header : request.headers) wipe(header);
  if (failure) {
    throw Error(ExitCode::remote, failure->reason, printable(ask.url), failure->message,
                failure->hint);
  }
  return handler.answer();
}

}  // namespace mad
