#include "transport/s3.hpp"

#include "base/error.hpp"
#include "credentials/xml.hpp"
#include "transport/download.hpp"
#include "transport/s3_listing.hpp"
#include "transport/s3_session.hpp"
#include "transport/s3_upload.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::string_view k_metadata_prefix = "x-amz-meta-";

class S3Transport final : public Transport {
 public:
  explicit S3Transport(const TransportOptions& options)
      : session_(options), rules_(pin_by_if_match()) {}

  Capabilities capabilities() const override {
    Capabilities found;
    found.conditional_upload = found.conditional_remove = session_.at_aws();
    found.min_part_bytes = std::uint64_t{5} << 20U;
    found.max_part_bytes = found.max_put_bytes = std::uint64_t{5} << 30U;
    found.max_parts = 10'000;
    found.part_sha256 = session_.signs();
    return found;
  }

  std::optional<ObjectInfo> stat(const Url& url) override {
    const std::string subject = display_url(url);
    Probe probe(subject);
    HttpReply reply = session_.call(object(url), &probe, session_.calls().retrier());
    if (reply.head.status == 416) {  // it is empty; a range of nothing tells nothing more
      S3Ask ask = object(url);
      ask.method = "HEAD";
      reply = session_.call(ask);
    }
    if (reply.head.status == 404) return std::nullopt;
    if (!is_success(reply.head.status)) throw status_error(subject, reply.head.status);
    return object_info(reply.head, rules_, k_metadata_prefix);
  }

  GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    Download download(subject, receiver, max_bytes, rules_, session_.calls(), retrier);
    return download.outcome(session_.call(object(url), &download, retrier));
  }

  RangeOutcome get_range(const Url& url, const ObjectInfo& pinned, std::uint64_t offset,
                         std::uint64_t length, Receiver& receiver) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    RangeRead range(subject, pinned, offset, length, receiver, rules_, session_.calls(), retrier);
    return range.outcome(session_.call(object(url), &range, retrier));
  }

  std::optional<ObjectInfo> put(const Url& url, Bytes bytes, const PutOptions& options) override {
    const MemoryBody body(bytes);
    S3Ask ask = object(url);
    ask.method = "PUT";
    ask.headers = s3_put_headers(options);
    ask.headers.emplace_back("Content-MD5", s3_content_md5(bytes));
    ask.body = &body;
    if (session_.signs_payload()) ask.payload_hash = to_hex(Sha256::of(bytes));
    const HttpReply reply = session_.call(ask);
    const int status = reply.head.status;
    if (is_success(status)) {
      return ObjectInfo{
          bytes.size(), std::string(reply.head.find("etag").value_or("")), options.metadata, {}};
    }
    const bool gone = status == 404 && options.condition == PutOptions::Condition::if_version;
    if (status != 412 && !gone) {
      throw status_error(display_url(url), status, xml_error_code(reply));
    }
    if (reply.attempts > 1) {
      auto present = stat(url);
      if (present && is_own_work(*present, options, bytes.size())) return present;
    }
    return std::nullopt;
  }

  std::unique_ptr<Upload> begin_upload(const Url& url, const PutOptions& options,
                                       std::optional<std::uint64_t>) override {
    require_key(url);
    return begin_s3_upload(session_, *this, url, options);
  }

  void list(const Url& prefix, const ListPage& page) override {
    list_s3_objects(session_, prefix, page);
  }

  void remove(const Url& url) override {
    S3Ask ask = object(url);
    ask.method = "DELETE";
    const HttpReply reply = session_.call(ask);
    if (!is_success(reply.head.status) && reply.head.status != 404) {
      throw status_error(display_url(url), reply.head.status, xml_error_code(reply));
    }
  }

  RemoveOutcome remove_version(const Url& url, const std::string& version) override {
    // Others than AWS may not know the condition, or read it in their own way.
    if (!session_.at_aws()) return Transport::remove_version(url, version);
    S3Ask ask = object(url);
    ask.method = "DELETE";
    ask.headers.emplace_back("If-Match", version);
    const HttpReply reply = session_.call(ask);
    const int status = reply.head.status;
    if (status == 404) return RemoveOutcome::missing;
    if (status == 409 || status == 412) return RemoveOutcome::changed;
    if (!is_success(status)) throw status_error(display_url(url), status, xml_error_code(reply));
    return RemoveOutcome::removed;
  }

  std::vector<ListedUpload> list_uploads(const Url& prefix) override {
    return list_s3_uploads(session_, prefix);
  }
  void remove_upload(const ListedUpload& upload) override { remove_s3_upload(session_, upload); }

  TransferFigures figures() const override { return session_.calls().figures(); }

 private:
  static void require_key(const Url& url) {
    if (url.path != "/") return;
    throw Error(ExitCode::usage, "usage", display_url(url),
                "expected s3://BUCKET/KEY, found no key");
  }

  static S3Ask object(const Url& url) {
    require_key(url);
    S3Ask ask;
    ask.url = url;
    return ask;
  }

  mutable S3Session session_;
  PinRules rules_;
};

}  // namespace

std::unique_ptr<Transport> open_s3_transport(const TransportOptions& options) {
  return std::make_unique<S3Transport>(options);
}

}  // namespace mad
