#include "transport/az.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "credentials/xml.hpp"
#include "transport/az_session.hpp"
#include "transport/az_upload.hpp"
#include "transport/download.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_az_page_bytes = std::size_t{16} << 20U;
/// Far from what a page may hold and what is read of XML: an entry has some 25 elements.
constexpr const char* k_az_page_entries = "1000";

void require_blob(const Url& url, const AzName& name) {
  if (!name.blob.empty()) return;
  throw Error(ExitCode::usage, "usage", display_url(url),
              "expected az://CONTAINER/BLOB, found no blob");
}

std::string quoted_etag(std::string_view etag) {
  if (etag.empty() || etag.front() == '"') return std::string(etag);
  return '"' + std::string(etag) + '"';
}

class AzTransport final : public Transport {
 public:
  AzTransport(const Url& url, const TransportOptions& options)
      : session_(url, options), rules_(pin_by_if_match()) {}

  Capabilities capabilities() const override {
    Capabilities found;
    found.late_metadata = true;
    found.max_part_bytes = std::uint64_t{4000} << 20U;
    found.max_put_bytes = std::uint64_t{5000} << 20U;
    found.max_parts = 50'000;
    return found;
  }

  std::optional<ObjectInfo> stat(const Url& url) override {
    AzAsk ask = blob(url);
    ask.method = "HEAD";
    const HttpReply reply = session_.call(ask);
    if (reply.head.status == 404) return std::nullopt;
    if (!is_success(reply.head.status)) throw refused(url, reply);
    ObjectInfo info = object_info(reply.head, rules_, "x-ms-meta-");
    Metadata ours;
    for (const auto& [identifier, value] : info.metadata) {
      std::string name = identifier;
      std::replace(name.begin(), name.end(), '_', '-');
      ours.emplace(std::move(name), value);
    }
    info.metadata = std::move(ours);
    return info;
  }

  GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    Download download(subject, receiver, max_bytes, rules_, session_.calls(), retrier);
    return download.outcome(session_.call(blob(url), &download, retrier));
  }

  RangeOutcome get_range(const Url& url, const ObjectInfo& pinned, std::uint64_t offset,
                         std::uint64_t length, Receiver& receiver) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    RangeRead range(subject, pinned, offset, length, receiver, rules_, session_.calls(), retrier);
    return range.outcome(session_.call(blob(url), &range, retrier));
  }

  std::optional<ObjectInfo> put(const Url& url, Bytes bytes, const PutOptions& options) override {
    const MemoryBody body(bytes);
    const std::string md5 = az_content_md5(bytes);
    AzAsk ask = blob(url);
    ask.method = "PUT";
    ask.headers = az_put_headers(options);
    ask.headers.emplace_back("x-ms-blob-type", "BlockBlob");
    ask.headers.emplace_back("Content-Type", options.content_type);
    ask.headers.emplace_back("Content-MD5", md5);
    ask.body = &body;
    const HttpReply reply = session_.call(ask);
    if (is_success(reply.head.status)) {
      check_az_acknowledged(reply, md5, display_url(url));
      return ObjectInfo{
          bytes.size(), std::string(reply.head.find("etag").value_or("")), options.metadata, {}};
    }
    using Condition = PutOptions::Condition;
    const bool gone = reply.head.status == 404 && options.condition == Condition::if_version;
    if (options.condition == Condition::none || !(gone || is_az_condition_refused(reply))) {
      throw refused(url, reply);
    }
    if (reply.attempts > 1) {
      auto present = stat(url);
      if (present && is_own_work(*present, options, bytes.size())) return present;
    }
    return std::nullopt;
  }

  std::unique_ptr<Upload> begin_upload(const Url& url, const PutOptions& options,
                                       std::optional<std::uint64_t>) override {
    require_blob(url, session_.name(url));
    return begin_az_upload(session_, *this, url, options);
  }

  void list(const Url& prefix, const ListPage& page) override {
    const std::string subject = display_url(prefix);
    const AzName name = session_.name(prefix);
    AzAsk ask;
    ask.url = prefix;
    ask.of_container = true;
    ask.max_reply_bytes = k_max_az_page_bytes;
    std::string marker;
    for (;;) {
      ask.query = {{"restype", "container"}, {"comp", "list"}, {"maxresults", k_az_page_entries}};
      if (!name.blob.empty()) {
        ask.query.emplace_back("prefix", percent_decode(name.blob).value_or(""));
      }
      if (!marker.empty()) ask.query.emplace_back("marker", marker);
      const HttpReply reply = session_.call(ask);
      if (!is_success(reply.head.status)) throw refused(prefix, reply);
      const XmlElement root = parse_xml(reply.body, subject);
      if (root.name != "EnumerationResults") throw bad_answer(subject, "the answer is no listing");
      const std::string next(root.text_of("NextMarker"));
      if (!page(listed(root, prefix, name)) || next.empty()) return;
      if (next == marker) throw bad_answer(subject, "the listing does not go on");
      marker = next;
    }
  }

  void remove(const Url& url) override {
    AzAsk ask = blob(url);
    ask.method = "DELETE";
    const HttpReply reply = session_.call(ask);
    if (!is_success(reply.head.status) && reply.head.status != 404) throw refused(url, reply);
  }

  RemoveOutcome remove_version(const Url& url, const std::string& version) override {
    AzAsk ask = blob(url);
    ask.method = "DELETE";
    ask.headers.emplace_back("If-Match", version);
    const HttpReply reply = session_.call(ask);
    if (reply.head.status == 404) return RemoveOutcome::missing;
    // That there is none does not meet the condition either.
    if (is_az_condition_refused(reply)) {
      return stat(url) ? RemoveOutcome::changed : RemoveOutcome::missing;
    }
    if (!is_success(reply.head.status)) throw refused(url, reply);
    return RemoveOutcome::removed;
  }

  TransferFigures figures() const override { return session_.calls().figures(); }

 private:
  AzAsk blob(const Url& url) const {
    require_blob(url, session_.name(url));
    AzAsk ask;
    ask.url = url;
    return ask;
  }

  static Error refused(const Url& url, const HttpReply& reply) {
    return status_error(display_url(url), reply.head.status, az_error_code(reply));
  }

  static std::vector<ListedObject> listed(const XmlElement& root, const Url& prefix,
                                          const AzName& name) {
    const std::string subject = display_url(prefix);
    const XmlElement* blobs = root.find("Blobs");
    if (blobs == nullptr) throw bad_answer(subject, "the listing has no list");
    std::vector<ListedObject> objects;
    for (const XmlElement& element : blobs->children) {
      const XmlElement* properties = element.find("Properties");
      if (element.name != "Blob" || properties == nullptr) continue;
      // Accounts with a hierarchical namespace list these too.
      if (properties->text_of("ResourceType") == "directory") continue;
      const auto size = parse_decimal(properties->text_of("Content-Length"));
      if (!size) throw bad_answer(subject, "the listing has a blob without a size");
      ListedObject object;
      object.url = prefix;
      object.url.path = name.path_before_blob.empty() ? prefix.path + "/" : name.path_before_blob;
      object.url.path += percent_encode_path(element.text_of("Name"));
      object.size_bytes = *size;
      object.version = quoted_etag(properties->text_of("Etag"));
      object.modified_s = parse_http_date(properties->text_of("Last-Modified"));
      objects.push_back(std::move(object));
    }
    return objects;
  }

  mutable AzSession session_;
  PinRules rules_;
};

}  // namespace

std::unique_ptr<Transport> open_az_transport(const Url& url, const TransportOptions& options) {
  return std::make_unique<AzTransport>(url, options);
}

}  // namespace mad
