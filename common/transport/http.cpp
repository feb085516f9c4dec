#include "transport/http.hpp"

#include <stdexcept>

#include "base/error.hpp"
#include "io/fd.hpp"
#include "io/spool.hpp"
#include "transport/download.hpp"
#include "transport/http_calls.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

/// What is read of it; its descriptor is borrowed.
class FileBody final : public HttpBody {
 public:
  FileBody(int file, std::uint64_t size_bytes) : file_(file), size_bytes_(size_bytes) {}
  std::uint64_t size_bytes() const override { return size_bytes_; }
  void read(std::uint64_t offset, MutableBytes into) const override {
    if (pread_full(file_, into, offset, "the spooled upload") != into.size()) {
      throw std::logic_error("FileBody: shorter than it was written");
    }
  }

 private:
  int file_;
  std::uint64_t size_bytes_;
};

class HttpTransport final : public Transport {
 public:
  explicit HttpTransport(const TransportOptions& options)
      : options_(options), calls_(options, Redirects::follow), rules_(pin_by_if_range()) {}

  Capabilities capabilities() const override {
    Capabilities found;
    found.connections_a_processor = 1;
    found.conditional_put = found.conditional_upload = found.conditional_remove = false;
    found.metadata = found.list = found.parts_in_parallel = false;
    found.max_part_bytes = found.max_put_bytes = UINT64_MAX;
    found.max_parts = UINT32_MAX;
    return found;
  }

  std::optional<ObjectInfo> stat(const Url& url) override {
    const std::string subject = display_url(url);
    HttpCall call = call_of(subject, request("HEAD", url));
    call.judge = [&](const HttpReply& reply) {
      // Of a URL presigned for GET, or a server that does not know HEAD: asked otherwise.
      return is_transient_status(reply.head.status) ? judge(subject, reply)
                                                    : ReplyVerdict::accept();
    };
    HttpReply reply = calls_.call(call);
    if (!is_success(reply.head.status) && !is_missing(reply.head.status)) reply = probe(url);
    if (is_missing(reply.head.status)) return std::nullopt;
    if (reply.head.status == 416) return empty_object(reply.head);
    return object_info(reply.head, rules_, {});
  }

  GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) override {
    const std::string subject = display_url(url);
    Retrier retrier = calls_.retrier();
    Download download(subject, receiver, max_bytes, rules_, calls_, retrier);
    HttpCall call = call_of(subject, request("GET", url));
    call.sink = &download;
    return download.outcome(calls_.call(call, retrier));
  }

  RangeOutcome get_range(const Url& url, const ObjectInfo& pinned, std::uint64_t offset,
                         std::uint64_t length, Receiver& receiver) override {
    const std::string subject = display_url(url);
    Retrier retrier = calls_.retrier();
    RangeRead range(subject, pinned, offset, length, receiver, rules_, calls_, retrier);
    HttpCall call = call_of(subject, request("GET", url));
    call.sink = &range;
    return range.outcome(calls_.call(call, retrier));
  }

  std::optional<ObjectInfo> put(const Url& url, Bytes bytes, const PutOptions& options) override {
    return put_body(url, MemoryBody(bytes), options);
  }

  std::unique_ptr<Upload> begin_upload(const Url& url, const PutOptions& options,
                                       std::optional<std::uint64_t>) override;

  void list(const Url& prefix, const ListPage&) override {
    throw Error(ExitCode::usage, "usage", display_url(prefix),
                "http has no way to list what a server holds");
  }

  void remove(const Url& url) override {
    const std::string subject = display_url(url);
    const HttpReply reply = calls_.call(call_of(subject, request("DELETE", url)));
    if (!is_success(reply.head.status) && !is_missing(reply.head.status)) {
      throw status_error(subject, reply.head.status);
    }
  }

  TransferFigures figures() const override { return calls_.figures(); }

  std::optional<ObjectInfo> put_body(const Url& url, const HttpBody& body,
                                     const PutOptions& options) {
    using Condition = PutOptions::Condition;
    // Few servers know conditions on PUT: a look beforehand is what all of them allow.
    if (options.condition != Condition::none) {
      const auto present = stat(url);
      const bool holds = options.condition == Condition::if_absent
                             ? !present
                             : present && present->version == options.version;
      if (!holds) return std::nullopt;
    }
    HttpRequest put = request("PUT", url);
    put.body = &body;
    // A signature in the URL may cover it, or cover that there is none.
    if (url.query.empty()) put.headers.push_back("Content-Type: " + options.content_type);
    const std::string subject = display_url(url);
    const HttpReply reply = calls_.call(call_of(subject, put));
    if (reply.head.status == 412) return std::nullopt;
    if (!is_success(reply.head.status)) throw status_error(subject, reply.head.status);
    ObjectInfo info;
    info.size_bytes = body.size_bytes();
    info.version = rules_.pin_of(reply.head);
    return info;
  }

 private:
  static bool is_missing(int status) { return status == 404 || status == 410; }

  HttpRequest request(const std::string& method, const Url& url) const {
    HttpRequest request;
    request.method = method;
    request.url = url;
    request.with_credentials = true;
    request.origin_headers = options_.headers;
    return request;
  }

  static HttpCall call_of(const std::string& subject, const HttpRequest& request) {
    HttpCall call;
    call.subject = subject;
    call.prepare = [request] { return request; };
    call.judge = [subject](const HttpReply& reply) { return judge(subject, reply); };
    call.max_reply_bytes = 0;  // pages for people
    return call;
  }

  static ReplyVerdict judge(const std::string& subject, const HttpReply& reply) {
    const int status = reply.head.status;
    if (status == 401 || status == 403) {
      return ReplyVerdict::final(
          {ExitCode::access_denied, "access-denied", subject,
           "the server answers " + std::to_string(status) +
               (status == 401 ? " Unauthorized" : " Forbidden"),
           "give credentials with -H @FILE or --netrc; a signed URL may have expired"});
    }
    if (is_transient_status(status)) return ReplyVerdict::transient(status_error(subject, status));
    if (is_success(status) || is_missing(status) || status == 412 || status == 416) {
      return ReplyVerdict::accept();
    }
    if (status == 405 || status == 501) {
      return ReplyVerdict::final(
          {ExitCode::remote, "http-status", subject, "the server answers " + std::to_string(status),
           "to be written to, it has to take PUT and DELETE, as WebDAV does"});
    }
    return ReplyVerdict::final(status_error(subject, status));
  }

  HttpReply probe(const Url& url) {
    const std::string subject = display_url(url);
    Probe probe(subject);
    HttpCall call = call_of(subject, request("GET", url));
    call.sink = &probe;
    return calls_.call(call);
  }

  /// Of the answer to a range of what has no bytes.
  static ObjectInfo empty_object(const HttpHead& head) {
    ObjectInfo info;
    if (head.find("content-range") == "bytes */0") info.size_bytes = 0;
    return info;
  }

  TransportOptions options_;
  HttpCalls calls_;
  PinRules rules_;
};

class HttpUpload final : public Upload {
 public:
  HttpUpload(HttpTransport& transport, const Url& url, const PutOptions& options)
      : transport_(transport), url_(url), options_(options), spool_(open_unnamed_file("")) {}

  void put_part(std::uint32_t index, Bytes bytes, const std::optional<Digest>&) override {
    if (index != parts_) throw std::logic_error("Upload: parts out of order");
    pwrite_full(spool_.get(), bytes, size_bytes_, "the spooled upload");
    size_bytes_ += bytes.size();
    ++parts_;
  }
  std::optional<ObjectInfo> finish(const Metadata&) override {
    auto put = transport_.put_body(url_, FileBody(spool_.get(), size_bytes_), options_);
    if (!put) return {};
    std::optional<ObjectInfo> present;
    try {
      present = transport_.stat(url_);
    } catch (const Error& error) {
      // A URL that is signed for PUT shows nothing.
      if (error.code == ExitCode::access_denied) return put;
      throw;
    }
    if (!present || present->size_bytes.value_or(size_bytes_) != size_bytes_) {
      throw stored_size_mismatch(display_url(url_), size_bytes_,
                                 present ? present->size_bytes : std::nullopt);
    }
    return present;
  }
  void abort() noexcept override {}

 private:
  HttpTransport& transport_;
  Url url_;
  PutOptions options_;
  Fd spool_;
  std::uint64_t size_bytes_ = 0;
  std::uint32_t parts_ = 0;
};

std::unique_ptr<Upload> HttpTransport::begin_upload(const Url& url, const PutOptions& options,
                                                    std::optional<std::uint64_t>) {
  return std::make_unique<HttpUpload>(*this, url, options);
}

}  // namespace

std::unique_ptr<Transport> open_http_transport(const TransportOptions& options) {
  return std::make_unique<HttpTransport>(options);
}

}  // namespace mad
