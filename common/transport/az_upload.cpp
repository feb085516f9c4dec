#include "transport/az_upload.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <stdexcept>

#include "base/log.hpp"
#include "credentials/xml.hpp"
#include "hash/md5.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_block_list_bytes = std::size_t{16} << 20U;

/// Tells this upload's blocks from those of every other.
std::string random_prefix() {
  constexpr std::size_t k_bytes = 12;
  std::random_device random;
  std::string prefix;
  while (prefix.size() < k_bytes) prefix += static_cast<char>(random() & 0xFFU);
  return prefix;
}

class AzUpload final : public Upload {
 public:
  AzUpload(AzSession& session, Transport& transport, const Url& url, const PutOptions& options)
      : session_(session),
        transport_(transport),
        url_(url),
        subject_(display_url(url)),
        options_(options),
        prefix_(random_prefix()) {}

  ~AzUpload() override { abort(); }
  AzUpload(const AzUpload&) = delete;
  AzUpload& operator=(const AzUpload&) = delete;

  void put_part(std::uint32_t index, Bytes bytes, const std::optional<Digest>&) override {
    if (!bytes.empty()) put_block(index, bytes);  // a block without bytes is refused
    const std::lock_guard lock(mutex_);
    if (part_bytes_.size() <= index) part_bytes_.resize(index + 1);
    part_bytes_[index] = bytes.size();
  }

  std::optional<ObjectInfo> finish(const Metadata& late) override {
    for (const auto& [name, value] : late) options_.metadata[name] = value;
    if (size_bytes() == 0) {
      ended_ = true;
      return transport_.put(url_, {}, options_);
    }
    const std::string list = block_list();
    const MemoryBody body(as_bytes(list));
    AzAsk ask;
    ask.method = "PUT";
    ask.url = url_;
    ask.query = {{"comp", "blocklist"}};
    ask.headers = az_put_headers(options_);
    ask.headers.emplace_back("x-ms-blob-content-type", options_.content_type);
    ask.headers.emplace_back("Content-Type", "application/xml");
    ask.headers.emplace_back("Content-MD5", az_content_md5(as_bytes(list)));
    ask.body = &body;
    const HttpReply reply = session_.call(ask);
    if (is_success(reply.head.status)) {
      return committed(std::string(reply.head.find("etag").value_or("")));
    }
    // Where an answer was lost, it may be our own commit that stands in the way.
    if (reply.attempts > 1) {
      if (const auto etag = own_etag()) return committed(*etag);
    }
    return refused(reply);
  }

  void abort() noexcept override {
    if (ended_) return;
    ended_ = true;
    if (sent_bytes_ == 0) return;
    try {
      log_warning(subject_ + ": the upload is given up; up to " + std::to_string(sent_bytes_) +
                  " bytes of uncommitted blocks are left in the store, which no reader sees and "
                  "which it discards within a week");
    } catch (...) {
      // Without memory there is nothing to say it with.
    }
  }

 private:
  void put_block(std::uint32_t index, Bytes bytes) {
    sent_bytes_ += bytes.size();
    const MemoryBody body(bytes);
    const std::string md5 = az_content_md5(bytes);
    AzAsk ask;
    ask.method = "PUT";
    ask.url = url_;
    ask.query = {{"comp", "block"}, {"blockid", block_id(index)}};
    ask.headers = {{"Content-MD5", md5}};
    ask.body = &body;
    const HttpReply reply = session_.call(ask);
    if (!is_success(reply.head.status)) throw az_refused(reply);
    check_az_acknowledged(reply, md5, subject_);
  }

  /// All of one length, as the service demands.
  std::string block_id(std::uint32_t index) const {
    std::string id = prefix_;
    for (const unsigned shift : {16U, 8U, 0U}) id += static_cast<char>(index >> shift & 0xFFU);
    return base64_encode(id);
  }

  /// `Latest` finds the blocks committed too, so that a commit whose answer was lost can be
  /// sent again.
  std::string block_list() const {
    std::string list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
    for (std::uint32_t i = 0; i < part_bytes_.size(); ++i) {
      if (!part_bytes_[i]) throw std::logic_error("Upload: a part is missing");
      if (part_bytes_[i] == 0) continue;
      list += "<Latest>";
      list += block_id(i);
      list += "</Latest>";
    }
    return list + "</BlockList>";
  }

  std::uint64_t size_bytes() const {
    std::uint64_t size = 0;
    for (const auto& part : part_bytes_) size += part.value_or(0);
    return size;
  }

  /// The first part with bytes; there is one.
  std::string first_block_id() const {
    const auto first = std::find_if(part_bytes_.begin(), part_bytes_.end(),
                                    [](const auto& bytes) { return bytes.value_or(0) != 0; });
    return block_id(static_cast<std::uint32_t>(first - part_bytes_.begin()));
  }

  /// The version that is there, where it is made of our blocks.
  std::optional<std::string> own_etag() {
    AzAsk ask;
    ask.url = url_;
    ask.query = {{"comp", "blocklist"}, {"blocklisttype", "committed"}};
    ask.max_reply_bytes = k_max_block_list_bytes;
    const HttpReply reply = session_.call(ask);
    if (!is_success(reply.head.status)) return std::nullopt;
    const XmlElement root = parse_xml(reply.body, subject_);
    const XmlElement* blocks = root.find("CommittedBlocks");
    const XmlElement* first = blocks == nullptr ? nullptr : blocks->find("Block");
    if (first == nullptr || first->text_of("Name") != first_block_id()) return std::nullopt;
    return std::string(reply.head.find("etag").value_or(""));
  }

  ObjectInfo committed(const std::string& etag) {
    ended_ = true;
    const auto present = stat_if_allowed(transport_, url_);
    if (!present || present->version != etag) {
      // Replaced or removed since, by someone who came after us; or not to be seen.
      return ObjectInfo{size_bytes(), etag, options_.metadata, {}};
    }
    if (present->size_bytes != size_bytes()) {
      throw stored_size_mismatch(subject_, size_bytes(), present->size_bytes);
    }
    return *present;
  }

  std::optional<ObjectInfo> refused(const HttpReply& reply) {
    using Condition = PutOptions::Condition;
    const bool is_conditional = options_.condition != Condition::none;
    const bool is_gone = reply.head.status == 404 && options_.condition == Condition::if_version;
    if (is_conditional && (is_gone || is_az_condition_refused(reply))) {
      abort();
      return std::nullopt;
    }
    if (reply.head.status != 400) throw az_refused(reply);
    // InvalidBlockList: whoever commits discards the blocks of all others.
    ended_ = true;
    throw Error(ExitCode::remote, "upload-overtaken", subject_,
                "the store answers 400 InvalidBlockList: another writer wrote this blob "
                "meanwhile, which discards the blocks of this upload");
  }

  Error az_refused(const HttpReply& reply) const {
    return status_error(subject_, reply.head.status, az_error_code(reply));
  }

  AzSession& session_;
  Transport& transport_;
  Url url_;
  std::string subject_;
  PutOptions options_;
  std::string prefix_;
  bool ended_ = false;
  std::atomic<std::uint64_t> sent_bytes_ = 0;
  std::mutex mutex_;
  std::vector<std::optional<std::uint64_t>> part_bytes_;
};

}  // namespace

std::string az_content_md5(Bytes bytes) {
  const Md5 digest = md5_of(bytes);
  return base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

void check_az_acknowledged(const HttpReply& reply, const std::string& md5,
                           const std::string& subject) {
  const auto stored = reply.head.find("content-md5");
  if (!stored || *stored == md5) return;
  throw Error(
      ExitCode::remote, "checksum-mismatch", subject,
      "sent bytes with the MD5 " + md5 + "\nthe store acknowledges " + printable(*stored, 40));
}

std::vector<std::pair<std::string, std::string>> az_put_headers(const PutOptions& options) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (options.condition == PutOptions::Condition::if_absent) {
    headers.emplace_back("If-None-Match", "*");
  } else if (options.condition == PutOptions::Condition::if_version) {
    headers.emplace_back("If-Match", options.version);
  }
  for (const auto& [name, value] : options.metadata) {
    std::string identifier = name;
    std::replace(identifier.begin(), identifier.end(), '-', '_');
    headers.emplace_back("x-ms-meta-" + identifier, value);
  }
  return headers;
}

std::unique_ptr<Upload> begin_az_upload(AzSession& session, Transport& transport, const Url& url,
                                        const PutOptions& options) {
  return std::make_unique<AzUpload>(session, transport, url, options);
}

}  // namespace mad
