#include "transport/gs_upload.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "hash/crc32c.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

/// "Resume Incomplete": how GCS answers a chunk that was not the last.
constexpr int k_incomplete = 308;
/// How it answers the end of a session that was asked for.
constexpr int k_cancelled = 499;

bool is_gone_session(int status) {
  return status == 404 || status == 410;
}

/// How far a session is, by its `Range: bytes=0-N`; without one it has nothing.
std::optional<std::uint64_t> persisted_bytes(const HttpHead& head) {
  const auto range = head.find("range");
  if (!range) return 0;
  constexpr std::string_view k_begin = "bytes=0-";
  if (range->substr(0, k_begin.size()) != k_begin) return std::nullopt;
  const auto last = parse_decimal(range->substr(k_begin.size()));
  if (!last || *last == UINT64_MAX) return std::nullopt;
  return *last + 1;
}

class GsUpload final : public Upload {
 public:
  GsUpload(GsSession& session, const Url& url, const PutOptions& options)
      : session_(session), url_(url), subject_(display_url(url)), options_(options) {
    const std::string resource = format_gs_object(options, {});
    const MemoryBody body(as_bytes(resource));
    GsAsk ask;
    ask.method = "POST";
    ask.url = url;
    ask.place = GsAsk::Place::upload;
    ask.query = gs_upload_query("resumable", url, options);
    ask.headers = {"Content-Type: application/json; charset=UTF-8"};
    ask.body = &body;
    const HttpReply reply = session.call(ask);
    if (reply.head.status == 412) {
      state_ = State::lost;
      return;
    }
    const auto location = reply.head.find("location");
    if (!is_success(reply.head.status)) throw gs_status_error(subject_, reply);
    if (!location) throw bad_answer(subject_, "the store names no upload session");
    place_ = session.upload_session(std::string(*location), subject_);
  }

  ~GsUpload() override { abort(); }
  GsUpload(const GsUpload&) = delete;
  GsUpload& operator=(const GsUpload&) = delete;

  void put_part(std::uint32_t index, Bytes bytes, const std::optional<Digest>&) override {
    if (index != parts_++ || !rest_.empty()) {
      throw std::logic_error("Upload: parts out of order, or one after the last");
    }
    if (state_ == State::lost) return;
    crc_ = crc32c(crc_, bytes);
    const std::size_t whole = bytes.size() / k_gs_chunk_bytes * k_gs_chunk_bytes;
    if (whole != 0) {
      const HttpReply reply = send(bytes.first(whole), false);
      if (reply.head.status != k_incomplete) refuse(reply);
    }
    rest_ = as_text(bytes.subspan(whole));
  }

  std::optional<ObjectInfo> finish(const Metadata& late) override {
    if (state_ == State::lost) return std::nullopt;
    const std::uint64_t size_bytes = stored_ + rest_.size();
    const HttpReply reply = send(as_bytes(rest_), true);
    if (reply.head.status == 412) {
      abort();
      return std::nullopt;
    }
    GsObject stored;
    if (is_success(reply.head.status)) {
      state_ = State::done;
      stored = parse_gs_object(reply.body, subject_);
      require_sound(stored, size_bytes);
    } else {
      stored = lost_and_found(reply, size_bytes);
    }
    add_late(stored, late);
    return stored.info;
  }

  void abort() noexcept override {
    if (state_ != State::open) return;
    state_ = State::done;
    try {
      HttpCall call;
      call.subject = subject_;
      const MemoryBody empty({});
      call.prepare = [&] { return request("DELETE", empty); };
      for (int attempt = 0; attempt < k_abort_attempts; ++attempt) {
        const int status = session_.calls().call_past_interruption(call);
        if (is_success(status) || status == k_cancelled || is_gone_session(status)) return;
      }
      log_warning(subject_ +
                  ": the upload could not be aborted; the store forgets it after a week");
    } catch (...) {
      // Without memory there is nothing to say it with.
    }
  }

 private:
  enum class State {
    open,
    lost,  ///< the condition did not hold from the start; there is no session
    done,
  };

  HttpRequest request(const std::string& method, const HttpBody& body) const {
    HttpRequest made;
    made.method = method;
    made.url = place_;
    made.body = &body;
    made.redirected = !session_.is_at_endpoint(place_);
    return made;
  }

  /// `total` of a Content-Range.
  std::string total_text(bool last, std::size_t bytes_left) const {
    return last ? std::to_string(stored_ + bytes_left) : std::string("*");
  }

  /// `bytes` on from stored_: sends them once; where the answer does not come, asks how far
  /// the session is (`asked`).  The reply to either.
  HttpReply exchange(Bytes bytes, bool last, Retrier& retrier, bool& asked) {
    const MemoryBody body(bytes);
    const MemoryBody empty({});
    bool sent = false;
    HttpCall call;
    call.subject = subject_;
    call.prepare = [&] {
      asked = std::exchange(sent, true);
      HttpRequest put = request("PUT", asked ? empty : body);
      std::string place = "*";
      if (!asked && !bytes.empty()) {
        place = std::to_string(stored_) + "-" + std::to_string(stored_ + bytes.size() - 1);
      }
      put.headers.push_back("Content-Range: bytes " + place + "/" + total_text(last, bytes.size()));
      // The store then makes no object of other bytes.
      if (last) put.headers.push_back("X-Goog-Hash: crc32c=" + format_crc32c(crc_));
      return put;
    };
    call.judge = [&](const HttpReply& reply) { return judge(reply); };
    call.max_reply_bytes = std::size_t{1} << 20U;
    return session_.calls().call(call, retrier);
  }

  ReplyVerdict judge(const HttpReply& reply) const {
    const int status = reply.head.status;
    if (is_success(status) || status == k_incomplete || status == 412 || is_gone_session(status)) {
      return ReplyVerdict::accept();
    }
    const Error error = gs_status_error(subject_, reply);
    if (is_transient_status(status)) return ReplyVerdict::transient(error);
    if (status == 401 || status == 403) {
      return ReplyVerdict::final(
          store_denied(subject_, status, gs_error_reason(reply.body), "the upload's session"));
    }
    if (reply.body.find("match calculated") != std::string::npos) {
      return ReplyVerdict::final(damaged("bytes were damaged on their way to the store"));
    }
    return ReplyVerdict::final(error);
  }

  /// Until the session has all of `bytes`, and for the last ones has made an object of them;
  /// or to a reply that is neither.
  HttpReply send(Bytes bytes, bool last) {
    Retrier retrier = session_.calls().retrier();
    const std::uint64_t begin = stored_;
    const std::uint64_t end = begin + bytes.size();
    bool asked = false;
    for (;;) {
      HttpReply reply =
          exchange(bytes.subspan(static_cast<std::size_t>(stored_ - begin)), last, retrier, asked);
      unsure_ = unsure_ || reply.attempts > 1;
      if (reply.head.status != k_incomplete) return reply;
      const auto persisted = persisted_bytes(reply.head);
      if (!persisted || *persisted < stored_ || *persisted > end) {
        throw bad_answer(subject_, "sent the bytes " + std::to_string(begin) + " to " +
                                       std::to_string(end) + "; the store says that it has " +
                                       printable(reply.head.find("range").value_or("none"), 80));
      }
      if (*persisted > stored_) {
        stored_ = *persisted;
        retrier.progress();
        if (stored_ == end && !last) return reply;
      } else if (!asked) {
        retrier.wait_or_throw(bad_answer(subject_, "the store took none of the bytes sent"), {});
      }
    }
  }

  [[noreturn]] void refuse(const HttpReply& reply) const {
    if (is_success(reply.head.status)) {
      throw bad_answer(subject_, "the store takes a part of the upload for all of it");
    }
    throw gs_status_error(subject_, reply);
  }

  Error damaged(const std::string& what) const {
    return {ExitCode::remote, "checksum-mismatch", subject_, what};
  }

  /// The session is no more: where an answer was lost, because it ended well.
  GsObject lost_and_found(const HttpReply& reply, std::uint64_t size_bytes) {
    if (unsure_ && is_gone_session(reply.head.status)) {
      GsAsk ask;
      ask.url = url_;
      ask.query = {{"fields", std::string(k_gs_object_fields)}};
      const HttpReply found = session_.call(ask);
      if (is_success(found.head.status)) {
        GsObject present = parse_gs_object(found.body, subject_);
        if (present.info.size_bytes == size_bytes && present.crc32c == format_crc32c(crc_) &&
            present.info.metadata == options_.metadata) {
          state_ = State::done;
          return present;
        }
      }
    }
    throw gs_status_error(subject_, reply);
  }

  /// Takes a damaged object away again.
  void require_sound(const GsObject& stored, std::uint64_t size_bytes) {
    try {
      require_stored(stored, size_bytes, format_crc32c(crc_), subject_);
    } catch (const Error&) {
      remove_generation(stored.info.version);
      throw;
    }
  }

  void remove_generation(const std::string& generation) {
    GsAsk ask;
    ask.method = "DELETE";
    ask.url = url_;
    ask.query = {{"generation", generation}};
    try {
      session_.call(ask);
    } catch (const Error& error) {
      log_warning(error.one_line() + "; a damaged object could not be removed");
    }
  }

  void add_late(GsObject& stored, const Metadata& late) {
    const auto& has = stored.info.metadata;
    const bool there = std::all_of(late.begin(), late.end(), [&](const auto& pair) {
      const auto found = has.find(pair.first);
      return found != has.end() && found->second == pair.second;
    });
    if (there) return;
    const std::string patch = format_gs_metadata(late);
    const MemoryBody body(as_bytes(patch));
    GsAsk ask;
    ask.method = "PATCH";
    ask.url = url_;
    ask.query = {{"generation", stored.info.version}, {"fields", std::string(k_gs_object_fields)}};
    ask.headers = {"Content-Type: application/json; charset=UTF-8"};
    ask.body = &body;
    try {
      const HttpReply reply = session_.call(ask);
      if (is_success(reply.head.status)) stored = parse_gs_object(reply.body, subject_);
      // Else it was replaced since: by someone who came after us.
    } catch (const Error& error) {
      // Who may create objects may not change them for that.
      if (error.code != ExitCode::access_denied) throw;
      log_warning(error.one_line() + "; the object is there without its late metadata");
    }
  }

  GsSession& session_;
  Url url_;
  std::string subject_;
  PutOptions options_;
  Url place_;  ///< the session's: a secret
  State state_ = State::open;
  std::uint32_t parts_ = 0;
  std::uint64_t stored_ = 0;
  std::uint32_t crc_ = 0;
  std::string rest_;
  bool unsure_ = false;  ///< an answer was lost
};

}  // namespace

Parameters gs_upload_query(const std::string& kind, const Url& url, const PutOptions& options) {
  const std::string name = url.path.substr(1);
  Parameters query = {{"uploadType", kind},
                      {"name", percent_decode(name).value_or(name)},
                      {"fields", std::string(k_gs_object_fields)}};
  using Condition = PutOptions::Condition;
  if (options.condition != Condition::none) {
    query.emplace_back("ifGenerationMatch",
                       options.condition == Condition::if_absent ? "0" : options.version);
  }
  return query;
}

void require_stored(const GsObject& stored, std::uint64_t sent_bytes, const std::string& sent_crc,
                    const std::string& subject) {
  if (stored.info.size_bytes != sent_bytes) {
    throw stored_size_mismatch(subject, sent_bytes, stored.info.size_bytes);
  }
  if (!stored.crc32c.empty() && stored.crc32c != sent_crc) {
    throw Error(ExitCode::remote, "checksum-mismatch", subject,
                "sent bytes with the CRC-32C " + sent_crc + ", the store has " +
                    printable(stored.crc32c, 16));
  }
}

std::unique_ptr<Upload> begin_gs_upload(GsSession& session, const Url& url,
                                        const PutOptions& options) {
  return std::make_unique<GsUpload>(session, url, options);
}

}  // namespace mad
