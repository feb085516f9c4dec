#include "transport/gs.hpp"

#include <random>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "hash/crc32c.hpp"
#include "transport/download.hpp"
#include "transport/gs_session.hpp"
#include "transport/gs_upload.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::size_t k_gs_max_page_bytes = std::size_t{8} << 20U;
constexpr std::uint64_t k_gs_max_object_bytes = std::uint64_t{5} << 40U;

/// What no object holds by chance.
std::string make_boundary() {
  std::random_device random;
  std::string boundary = "mad";
  for (int i = 0; i < 4; ++i) boundary += "-" + std::to_string(random());
  return boundary;
}

/// multipart/related (RFC 2387): the resource, then the bytes, which it borrows.
class RelatedBody final : public HttpBody {
 public:
  RelatedBody(const std::string& resource, Bytes bytes, const std::string& content_type)
      : boundary_(make_boundary()), bytes_(bytes) {
    head_ = "--" + boundary_ + "\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n";
    head_ += resource + "\r\n--" + boundary_ + "\r\nContent-Type: " + content_type + "\r\n\r\n";
    tail_ = "\r\n--" + boundary_ + "--\r\n";
  }

  const std::string& boundary() const { return boundary_; }
  std::uint64_t size_bytes() const override { return head_.size() + bytes_.size() + tail_.size(); }
  void read(std::uint64_t offset, MutableBytes into) const override {
    for (const Bytes piece : {as_bytes(head_), bytes_, as_bytes(tail_)}) {
      if (offset >= piece.size()) {
        offset -= piece.size();
        continue;
      }
      const Bytes rest = piece.subspan(static_cast<std::size_t>(offset));
      const std::size_t count = std::min(rest.size(), into.size());
      std::copy_n(rest.begin(), count, into.begin());
      into = into.subspan(count);
      offset = 0;
    }
  }

 private:
  std::string boundary_;
  std::string head_;
  Bytes bytes_;
  std::string tail_;
};

/// Reckons the CRC-32C of what it passes on.
class SummingReceiver final : public Receiver {
 public:
  explicit SummingReceiver(Receiver& receiver) : receiver_(receiver) {}
  void begin(const ObjectInfo& object) override { receiver_.begin(object); }
  void write(Bytes bytes) override {
    crc_ = crc32c(crc_, bytes);
    receiver_.write(bytes);
  }
  void restart() override {
    crc_ = 0;
    receiver_.restart();
  }
  std::string crc() const { return format_crc32c(crc_); }

 private:
  Receiver& receiver_;
  std::uint32_t crc_ = 0;
};

/// Of the whole object, by x-goog-hash (`crc32c=…`, `md5=…`, in one header or several);
/// empty where it is not told.
std::string told_crc(const HttpHead& head) {
  constexpr std::string_view k_crc = "crc32c=";
  for (const auto& [name, value] : head.headers) {
    if (name != "x-goog-hash") continue;
    for (std::string_view hash : split(value, ',')) {
      while (hash.substr(0, 1) == " ") hash.remove_prefix(1);
      if (hash.substr(0, k_crc.size()) == k_crc) return std::string(hash.substr(k_crc.size()));
    }
  }
  return {};
}

class GsTransport final : public Transport {
 public:
  explicit GsTransport(const TransportOptions& options)
      : session_(options), rules_(pin_by_generation()) {}

  Capabilities capabilities() const override {
    Capabilities found;
    found.late_metadata = true;
    found.parts_in_parallel = false;
    found.min_part_bytes = found.part_multiple = k_gs_chunk_bytes;
    found.max_part_bytes = found.max_put_bytes = k_gs_max_object_bytes;
    found.max_parts = UINT32_MAX;
    return found;
  }

  std::optional<ObjectInfo> stat(const Url& url) override {
    auto found = find(url);
    if (!found) {
      session_.require_bucket(url);
      return std::nullopt;
    }
    return std::move(found->info);
  }

  GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    for (bool again = false;; again = true) {
      SummingReceiver summing(receiver);
      Download download(subject, summing, max_bytes, rules_, session_.calls(), retrier);
      const HttpReply reply = session_.call(media(url), &download, retrier);
      const GetOutcome outcome = download.outcome(reply);
      if (outcome == GetOutcome::missing) session_.require_bucket(url);
      const std::string crc = told_crc(reply.head);
      if (outcome != GetOutcome::complete || crc.empty() || crc == summing.crc()) return outcome;
      const Error damaged(ExitCode::remote, "checksum-mismatch", subject,
                          "the store keeps bytes with the CRC-32C " + printable(crc, 16) +
                              ", those that came have " + summing.crc());
      if (again) throw Error(damaged);
      log_note(damaged.one_line() + "; starting again");
      receiver.restart();
    }
  }

  RangeOutcome get_range(const Url& url, const ObjectInfo& pinned, std::uint64_t offset,
                         std::uint64_t length, Receiver& receiver) override {
    const std::string subject = display_url(url);
    Retrier retrier = session_.calls().retrier();
    RangeRead range(subject, pinned, offset, length, receiver, rules_, session_.calls(), retrier);
    return range.outcome(session_.call(media(url), &range, retrier));
  }

  std::optional<ObjectInfo> put(const Url& url, Bytes bytes, const PutOptions& options) override {
    const std::string crc = format_crc32c(crc32c(0, bytes));
    const RelatedBody body(format_gs_object(options, crc), bytes, options.content_type);
    GsAsk ask = object(url);
    ask.method = "POST";
    ask.place = GsAsk::Place::upload;
    ask.query = gs_upload_query("multipart", url, options);
    ask.headers = {"Content-Type: multipart/related; boundary=" + body.boundary()};
    ask.body = &body;
    const HttpReply reply = session_.call(ask);
    const std::string subject = display_url(url);
    if (is_success(reply.head.status)) {
      GsObject stored = parse_gs_object(reply.body, subject);
      require_stored(stored, bytes.size(), crc, subject);
      return std::move(stored.info);
    }
    if (reply.head.status != 412) throw gs_status_error(subject, reply);
    if (reply.attempts > 1) {
      // The answer that it is done may have been lost, and our own work stand in the way.
      auto present = find(url);
      if (present && present->info.size_bytes == bytes.size() && present->crc32c == crc &&
          present->info.metadata == options.metadata) {
        return std::move(present->info);
      }
    }
    return std::nullopt;
  }

  std::unique_ptr<Upload> begin_upload(const Url& url, const PutOptions& options,
                                       std::optional<std::uint64_t>) override {
    return begin_gs_upload(session_, object(url).url, options);
  }

  void list(const Url& prefix, const ListPage& page) override {
    const std::string subject = display_url(prefix);
    GsAsk ask;
    ask.url = prefix;
    ask.place = GsAsk::Place::bucket;
    ask.max_reply_bytes = k_gs_max_page_bytes;
    const std::string names = percent_decode(prefix.path.substr(1)).value_or("");
    std::string token;
    for (;;) {
      ask.query = {{"prefix", names},
                   {"maxResults", "1000"},
                   {"fields", "nextPageToken,items(name,generation,size,timeCreated)"}};
      if (!token.empty()) ask.query.emplace_back("pageToken", token);
      GsPage found = parse_gs_page(session_.call(ask).body, subject);
      // A page may be empty and not the last.
      if ((!found.objects.empty() && !page(listed(found, prefix))) || found.next_token.empty()) {
        return;
      }
      if (found.next_token == token) throw bad_answer(subject, "the listing does not go on");
      token = std::move(found.next_token);
    }
  }

  void remove(const Url& url) override {
    GsAsk ask = object(url);
    ask.method = "DELETE";
    const HttpReply reply = session_.call(ask);
    if (reply.head.status == 404) {
      session_.require_bucket(url);
    } else if (!is_success(reply.head.status)) {
      throw gs_status_error(display_url(url), reply);
    }
  }

  RemoveOutcome remove_version(const Url& url, const std::string& version) override {
    GsAsk ask = object(url);
    ask.method = "DELETE";
    ask.query = {{"ifGenerationMatch", version}};
    const HttpReply reply = session_.call(ask);
    if (reply.head.status == 412) return RemoveOutcome::changed;
    if (reply.head.status == 404) {
      session_.require_bucket(url);
      return RemoveOutcome::missing;
    }
    if (!is_success(reply.head.status)) throw gs_status_error(display_url(url), reply);
    return RemoveOutcome::removed;
  }

  TransferFigures figures() const override { return session_.calls().figures(); }

 private:
  static GsAsk object(const Url& url) {
    if (url.path == "/") {
      throw Error(ExitCode::usage, "usage", display_url(url),
                  "expected gs://BUCKET/NAME, found no name");
    }
    GsAsk ask;
    ask.url = url;
    return ask;
  }

  static GsAsk media(const Url& url) {
    GsAsk ask = object(url);
    ask.query = {{"alt", "media"}};
    return ask;
  }

  std::optional<GsObject> find(const Url& url) {
    GsAsk ask = object(url);
    ask.query = {{"fields", std::string(k_gs_object_fields)}};
    const HttpReply reply = session_.call(ask);
    if (reply.head.status == 404) return std::nullopt;
    if (!is_success(reply.head.status)) throw gs_status_error(display_url(url), reply);
    return parse_gs_object(reply.body, display_url(url));
  }

  static std::vector<ListedObject> listed(GsPage& found, const Url& prefix) {
    std::vector<ListedObject> objects;
    for (GsObject& object : found.objects) {
      Url url = prefix;
      url.path = "/" + percent_encode_path(object.name);
      objects.push_back({std::move(url), *object.info.size_bytes, std::move(object.info.version),
                         object.info.modified_s});
    }
    return objects;
  }

  mutable GsSession session_;
  PinRules rules_;
};

}  // namespace

std::unique_ptr<Transport> open_gs_transport(const TransportOptions& options) {
  return std::make_unique<GsTransport>(options);
}

}  // namespace mad
