#include "transport/s3_upload.hpp"

#include <atomic>
#include <charconv>
#include <mutex>
#include <stdexcept>

#include "base/log.hpp"
#include "credentials/xml.hpp"
#include "hash/md5.hpp"
#include "hash/sha256.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_upload_id_bytes = 2048;

std::string xml_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view k_digits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {k_digits[byte >> 4U], k_digits[byte & 15U]};
  }
  return out;
}

/// Nothing where it is no hexadecimal text.
std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned value = 0;
    const auto end = std::from_chars(text.data() + i, text.data() + i + 2, value, 16).ptr;
    if (end != text.data() + i + 2) return {};
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::string md5_text(Bytes bytes) {
  const Md5 digest = md5_of(bytes);
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

class S3Upload final : public Upload {
 public:
  S3Upload(S3Session& session, Transport& transport, const Url& url, const PutOptions& options)
      : session_(session),
        transport_(transport),
        url_(url),
        subject_(display_url(url)),
        options_(options) {
    const MemoryBody empty({});
    S3Ask ask;
    ask.method = "POST";
    ask.url = url_;
    ask.query = {{"uploads", ""}};
    PutOptions unconditional = options;
    unconditional.condition = PutOptions::Condition::none;
    ask.headers = s3_put_headers(unconditional);
    ask.body = &empty;
    ask.payload_hash = to_hex(Sha256::of({}));
    const HttpReply reply = session_.call(ask);
    if (!is_success(reply.head.status)) throw status_error(subject_, reply.head.status);
    id_ = parse_xml(reply.body, subject_).text_of("UploadId");
    if (id_.empty() || id_.size() > k_max_upload_id_bytes) {
      throw bad_answer(subject_, "the store gives no upload ID");
    }
  }

  ~S3Upload() override { abort(); }
  S3Upload(const S3Upload&) = delete;
  S3Upload& operator=(const S3Upload&) = delete;

  void put_part(std::uint32_t index, Bytes bytes, const std::optional<Digest>& sha256) override {
    const MemoryBody body(bytes);
    S3Ask ask;
    ask.method = "PUT";
    ask.url = url_;
    ask.query = {{"partNumber", std::to_string(index + 1)}, {"uploadId", id_}};
    ask.body = &body;
    // A signed SHA-256 proves more than an MD5, which takes twice as long.
    if (session_.signs()) ask.payload_hash = to_hex(sha256 ? *sha256 : Sha256::of(bytes));
    ask.may_want_md5 = session_.signs() && !wants_md5_;
    if (!ask.may_want_md5) add_content_md5(ask, bytes);
    HttpReply reply = session_.call(ask);
    if (reply.head.status == 400 && ask.may_want_md5) {
      wants_md5_ = true;
      ask.may_want_md5 = false;
      add_content_md5(ask, bytes);
      reply = session_.call(ask);
    }
    if (!is_success(reply.head.status)) {
      throw status_error(subject_, reply.head.status, xml_error_code(reply));
    }
    const auto etag = reply.head.find("etag");
    if (!etag || etag->empty()) throw bad_answer(subject_, "the store gives no ETag for a part");
    const std::lock_guard lock(mutex_);
    if (parts_.size() <= index) parts_.resize(index + 1);
    parts_[index] = {std::string(*etag), bytes.size()};
  }

  std::optional<ObjectInfo> finish(const Metadata&) override {
    if (parts_.empty()) {  // which S3 completes to nothing at all
      abort();
      return transport_.put(url_, {}, options_);
    }
    if (!condition_may_hold()) {
      abort();
      return std::nullopt;
    }
    const std::string list = part_list();
    const MemoryBody body(as_bytes(list));
    S3Ask ask;
    ask.method = "POST";
    ask.url = url_;
    ask.query = {{"uploadId", id_}};
    ask.headers = s3_condition_headers(options_);
    ask.headers.emplace_back("Content-Type", "application/xml");
    ask.body = &body;
    if (session_.signs_payload()) ask.payload_hash = to_hex(Sha256::of(as_bytes(list)));
    const HttpReply reply = session_.call(ask);
    return completed(reply);
  }

  void abort() noexcept override {
    if (ended_) return;
    ended_ = true;
    try {
      S3Ask ask;
      ask.method = "DELETE";
      ask.url = url_;
      ask.query = {{"uploadId", id_}};
      for (int attempt = 0; attempt < k_abort_attempts; ++attempt) {
        const int status = session_.call_past_interruption(ask);
        if (is_success(status) || status == 404) return;
      }
      log_warning(subject_ +
                  ": the upload could not be aborted; its parts may be left in the store");
    } catch (...) {
      // Without memory there is nothing to say it with.
    }
  }

 private:
  struct Part {
    std::string etag;
    std::uint64_t size_bytes = 0;
  };

  /// For stores that ignore the condition on what completes the upload.
  bool condition_may_hold() {
    using Condition = PutOptions::Condition;
    if (options_.condition == Condition::none) return true;
    const auto present =
        session_.at_aws() ? stat_if_allowed(transport_, url_) : transport_.stat(url_);
    if (options_.condition == Condition::if_absent) return !present;
    return present && present->version == options_.version;
  }

  std::string part_list() const {
    std::string list =
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].etag.empty()) throw std::logic_error("Upload: a part is missing");
      list += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" +
              xml_escape(parts_[i].etag) + "</ETag></Part>";
    }
    return list + "</CompleteMultipartUpload>";
  }

  static void add_content_md5(S3Ask& ask, Bytes bytes) {
    ask.headers.emplace_back("Content-MD5", s3_content_md5(bytes));
  }

  /// As S3 and radosgw make it where nothing is encrypted: the MD5 of the parts' MD5s, which
  /// their ETags then are.
  std::string usual_etag() const {
    std::string md5s;
    for (const Part& part : parts_) md5s += from_hex(unquoted(part.etag));
    return '"' + hex(md5_text(as_bytes(md5s))) + "-" + std::to_string(parts_.size()) + '"';
  }

  bool is_ours(const std::optional<ObjectInfo>& present, std::string_view etag,
               std::uint64_t size_bytes) const {
    return present && (unquoted(present->version) == unquoted(etag) ||
                       is_own_work(*present, options_, size_bytes));
  }

  std::uint64_t size_bytes() const {
    std::uint64_t size = 0;
    for (const Part& part : parts_) size += part.size_bytes;
    return size;
  }

  std::optional<ObjectInfo> completed(const HttpReply& reply) {
    const std::string code = xml_error_code(reply);
    if (!is_success(reply.head.status) || !code.empty()) return not_completed(reply, code);
    ended_ = true;
    std::string etag(parse_xml(reply.body, subject_).text_of("ETag"));
    if (etag.empty()) etag = usual_etag();  // radosgw leaves it out of the first answer
    const std::uint64_t size_bytes = this->size_bytes();
    std::optional<ObjectInfo> present = stat_if_allowed(transport_, url_);
    if (!is_ours(present, etag, size_bytes)) {
      // Replaced or removed since: by someone who came after us.
      return ObjectInfo{size_bytes, etag, options_.metadata, {}};
    }
    if (present->size_bytes != size_bytes) {
      throw stored_size_mismatch(subject_, size_bytes, present->size_bytes);
    }
    return present;
  }

  /// It is no more, or stands against the condition, also where an earlier attempt did complete
  /// it and its answer was lost.
  std::optional<ObjectInfo> not_completed(const HttpReply& reply, const std::string& code) {
    const int status = reply.head.status;
    const bool conflict = status == 409 || code == "ConditionalRequestConflict";
    const bool gone = status == 404 && options_.condition == PutOptions::Condition::if_version &&
                      code != "NoSuchUpload";
    const bool refused = conflict || gone || status == 412 || code == "PreconditionFailed";
    if (refused) abort();
    if (std::optional<ObjectInfo> present = stat_if_allowed(transport_, url_);
        is_ours(present, usual_etag(), size_bytes())) {
      ended_ = true;
      return present;
    }
    if (!refused) throw status_error(subject_, status, code);
    // The other request may be an attempt of ours, and complete it after all.
    if (conflict && reply.attempts > 1) {
      throw Error(ExitCode::remote, "upload-overtaken", subject_,
                  "the store answers " + std::to_string(status) +
                      " ConditionalRequestConflict: another write of it is under way");
    }
    return std::nullopt;
  }

  static std::string_view unquoted(std::string_view etag) {
    if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
      etag = etag.substr(1, etag.size() - 2);
    }
    return etag;
  }

  S3Session& session_;
  Transport& transport_;
  Url url_;
  std::string subject_;
  PutOptions options_;
  std::string id_;
  bool ended_ = false;
  std::atomic<bool> wants_md5_ = false;
  std::mutex mutex_;
  std::vector<Part> parts_;
};

}  // namespace

std::string s3_content_md5(Bytes bytes) {
  return base64_encode(md5_text(bytes));
}

std::vector<std::pair<std::string, std::string>> s3_condition_headers(const PutOptions& options) {
  switch (options.condition) {
    case PutOptions::Condition::none:
      return {};
    case PutOptions::Condition::if_absent:
      return {{"If-None-Match", "*"}};
    case PutOptions::Condition::if_version:
      break;
  }
  // Without its quotes: AWS takes both, radosgw only this.
  std::string etag = options.version;
  etag.erase(0, etag.rfind('"', 0) == 0 ? 1 : 0);
  if (!etag.empty() && etag.back() == '"') etag.pop_back();
  return {{"If-Match", etag}};
}

std::vector<std::pair<std::string, std::string>> s3_put_headers(const PutOptions& options) {
  auto headers = s3_condition_headers(options);
  headers.emplace_back("Content-Type", options.content_type);
  for (const auto& [name, value] : options.metadata) {
    headers.emplace_back("x-amz-meta-" + name, value);
  }
  return headers;
}

std::unique_ptr<Upload> begin_s3_upload(S3Session& session, Transport& transport, const Url& url,
                                        const PutOptions& options) {
  return std::make_unique<S3Upload>(session, transport, url, options);
}

}  // namespace mad
