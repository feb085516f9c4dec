#include "transport/download.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

/// Less than this is no progress: a server must not feed us a byte an attempt for ever.
constexpr std::uint64_t k_progress_bytes = std::uint64_t{1} << 20U;

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};

/// `bytes 5-9/10`, and nothing else.
std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (text.substr(0, 6) != "bytes ") return std::nullopt;
  text.remove_prefix(6);
  const auto dash = text.find('-');
  const auto slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = parse_decimal(text.substr(0, dash));
  const auto last = parse_decimal(text.substr(dash + 1, slash - dash - 1));
  const auto total = parse_decimal(text.substr(slash + 1));
  if (!first || !last || !total || *last < *first || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

/// Of a 206 whose Content-Length, where there is one, is right.
std::optional<ContentRange> content_range(const HttpHead& head) {
  const auto range = parse_content_range(head.find("content-range").value_or(""));
  const auto length = head.find("content-length");
  if (range && length && parse_decimal(*length) != range->last - range->first + 1) {
    return std::nullopt;
  }
  return range;
}

std::string shown_content_range(const HttpHead& head) {
  return "found Content-Range '" + printable(head.find("content-range").value_or("none"), 80) + "'";
}

void demand_identity(const HttpHead& head, const std::string& subject) {
  const auto encoding = head.find("content-encoding");
  if (encoding && !encoding->empty() && *encoding != "identity") {
    throw Error(ExitCode::remote, "http-status", subject,
                "expected the bytes as they are, found Content-Encoding '" +
                    printable(*encoding, 40) + "'");
  }
}

std::string if_range_pin(const HttpHead& head) {
  const std::string_view etag = head.find("etag").value_or("");
  if (etag.substr(0, 1) == "\"") return std::string(etag);
  const std::string_view last_modified = head.find("last-modified").value_or("");
  const auto modified = parse_http_date(last_modified);
  const auto date = parse_http_date(head.find("date").value_or(""));
  // RFC 9110, 8.8.2.2: two versions of one second would have the same date.
  const bool strong = modified && date && *date > *modified && object_size(head);
  return strong ? std::string(last_modified) : std::string();
}

Error sent_too_much(const std::string& subject) {
  return {ExitCode::remote, "http-status", subject,
          "the server sends more bytes than it announced"};
}

}  // namespace

PinRules pin_by_if_range() {
  return {if_range_pin, [](HttpRequest& request, const std::string& pin) {
            request.headers.push_back("If-Range: " + pin);
          }};
}

PinRules pin_by_if_match() {
  return {[](const HttpHead& head) { return std::string(head.find("etag").value_or("")); },
          [](HttpRequest& request, const std::string& pin) {
            request.headers.push_back("If-Match: " + pin);
          }};
}

PinRules pin_by_generation() {
  return {
      [](const HttpHead& head) { return std::string(head.find("x-goog-generation").value_or("")); },
      [](HttpRequest& request, const std::string& pin) {
        request.url.query += (request.url.query.empty() ? "?generation=" : "&generation=") + pin;
      },
      true};
}

std::optional<std::uint64_t> object_size(const HttpHead& head) {
  if (head.status == 206) {
    const auto range = parse_content_range(head.find("content-range").value_or(""));
    if (!range) return std::nullopt;
    return range->total;
  }
  const auto length = head.find("content-length");
  return length && !head.find("transfer-encoding") ? parse_decimal(*length) : std::nullopt;
}

ObjectInfo object_info(const HttpHead& head, const PinRules& rules,
                       std::string_view metadata_prefix) {
  ObjectInfo info;
  info.size_bytes = object_size(head);
  info.version = rules.pin_of(head);
  info.modified_s = parse_http_date(head.find("last-modified").value_or(""));
  if (metadata_prefix.empty()) return info;
  for (const auto& [name, value] : head.headers) {
    if (std::string_view(name).substr(0, metadata_prefix.size()) == metadata_prefix) {
      info.metadata.emplace(name.substr(metadata_prefix.size()), value);
    }
  }
  return info;
}

Download::Version Download::version_of(const HttpHead& head) const {
  if (rules_.alone) return {rules_.pin_of(head), {}, rules_.pin_of(head), object_size(head)};
  return {std::string(head.find("etag").value_or("")),
          std::string(head.find("last-modified").value_or("")), rules_.pin_of(head),
          object_size(head)};
}

/// Nothing that both tell contradicts it.
bool Download::may_be_same(const Version& a, const Version& b) {
  const auto differ = [](const std::string& x, const std::string& y) {
    return !x.empty() && !y.empty() && x != y;
  };
  return !differ(a.etag, b.etag) && !differ(a.last_modified, b.last_modified) &&
         (!a.size_bytes || !b.size_bytes || *a.size_bytes == *b.size_bytes);
}

Error Download::final_error(const std::string& what) const {
  return {ExitCode::remote, "http-status", subject_, what};
}

void Download::too_large(const std::string& found) const {
  throw Error(ExitCode::refused, "too-large", subject_,
              "expected at most " + std::to_string(max_bytes_) + " bytes, found " + found,
              "--max-size sets the bound");
}

GetOutcome Download::outcome(const HttpReply& reply) const {
  if (changed_) return GetOutcome::changed;
  const int status = reply.head.status;
  if (status == 200 || status == 206) return GetOutcome::complete;
  if (status == 404 || status == 410) return begun_ ? GetOutcome::changed : GetOutcome::missing;
  if (begun_ && (status == 412 || status == 416)) return GetOutcome::changed;
  throw status_error(subject_, status);
}

void Download::dress(HttpRequest& request) {
  skip_bytes_ = 0;
  until_ = std::nullopt;
  if (!goes_on()) return;
  request.headers.push_back("Range: bytes=" + std::to_string(done_bytes_) + "-");
  rules_.demand(request, version_.pin);
}

bool Download::head(const HttpHead& head) {
  demand_identity(head, subject_);
  return head.status == 206 ? take_range(head) : take_whole(head);
}

bool Download::take_whole(const HttpHead& head) {
  const Version found = version_of(head);
  if (found.size_bytes && *found.size_bytes > max_bytes_) {
    too_large(std::to_string(*found.size_bytes));
  }
  if (begun_) {
    if (!may_be_same(version_, found)) {
      changed_ = true;
      return false;
    }
    if (!version_.pin.empty() && version_.pin == found.pin) {
      // The same version, but no ranges: what is already delivered is read past.
      skip_bytes_ = done_bytes_;
      until_ = version_.size_bytes;
      return true;
    }
    if (done_bytes_ > 0) {
      log_note(subject_ + ": this server cannot go on with a cut transfer; starting again");
    }
    receiver_.restart();
    done_bytes_ = 0;
  }
  version_ = found;
  until_ = version_.size_bytes;
  receiver_.begin({version_.size_bytes, version_.pin, {}, {}});
  begun_ = true;
  return true;
}

bool Download::take_range(const HttpHead& head) {
  if (!goes_on()) throw final_error("the server answers 206 to a request for all");
  const auto range = content_range(head);
  if (range && range->first == done_bytes_ && !may_be_same(version_, version_of(head))) {
    changed_ = true;
    return false;
  }
  if (!range || range->first != done_bytes_) {
    throw final_error("asked for the bytes from " + std::to_string(done_bytes_) + " of " +
                      (version_.size_bytes ? std::to_string(*version_.size_bytes) : "an object") +
                      "\n" + shown_content_range(head));
  }
  if (range->total > max_bytes_) too_large(std::to_string(range->total));
  version_.size_bytes = range->total;
  until_ = range->last + 1;
  log_note(subject_ + ": going on at byte " + std::to_string(done_bytes_));
  return true;
}

void Download::body(Bytes bytes) {
  calls_.count_received(bytes.size());
  const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), skip_bytes_));
  skip_bytes_ -= skipped;
  bytes = bytes.subspan(skipped);
  if (bytes.empty()) return;
  if (bytes.size() > max_bytes_ - done_bytes_) too_large("more");
  if (until_ && bytes.size() > *until_ - done_bytes_) throw sent_too_much(subject_);
  receiver_.write(bytes);
  done_bytes_ += bytes.size();
  if (done_bytes_ >= furthest_ + k_progress_bytes) {
    furthest_ = done_bytes_;
    retrier_.progress();
  }
}

std::optional<HttpFailure> Download::end_request() {
  if (changed_ || !version_.size_bytes || done_bytes_ >= *version_.size_bytes) return std::nullopt;
  return HttpFailure{true,
                     "transfer-cut",
                     "the server sent " + std::to_string(done_bytes_) + " of " +
                         std::to_string(*version_.size_bytes) + " bytes",
                     {}};
}

Error Download::error_of(const HttpFailure& failure) const {
  std::string text = failure.message;
  if (done_bytes_ > 0 && failure.reason != "http-status") {
    text += "\nafter " + std::to_string(done_bytes_);
    text += version_.size_bytes ? " of " + std::to_string(*version_.size_bytes) + " bytes"
                                : std::string(" bytes");
  }
  return {ExitCode::remote, failure.reason, subject_, text, failure.hint};
}

RangeRead::RangeRead(const std::string& subject, const ObjectInfo& pinned, std::uint64_t offset,
                     std::uint64_t length, Receiver& receiver, const PinRules& rules,
                     HttpCalls& calls, Retrier& retrier)
    : subject_(subject),
      pinned_(pinned),
      begin_(offset),
      at_(offset),
      end_(offset + length),
      furthest_(offset),
      receiver_(receiver),
      rules_(rules),
      calls_(calls),
      retrier_(retrier) {
  if (pinned.version.empty() || !pinned.size_bytes || length == 0 || end_ < offset ||
      end_ > *pinned.size_bytes) {
    throw std::logic_error("get_range: no range of a pinned version");
  }
}

RangeOutcome RangeRead::outcome(const HttpReply& reply) const {
  if (outcome_) return *outcome_;
  switch (reply.head.status) {
    case 206:
      return RangeOutcome::complete;
    case 404:
    case 410:
    case 412:
    case 416:
      return RangeOutcome::changed;
    default:
      throw status_error(subject_, reply.head.status);
  }
}

void RangeRead::dress(HttpRequest& request) {
  request.headers.push_back("Range: bytes=" + std::to_string(at_) + "-" + std::to_string(end_ - 1));
  rules_.demand(request, pinned_.version);
}

bool RangeRead::head(const HttpHead& head) {
  demand_identity(head, subject_);
  const std::string version = rules_.pin_of(head);
  // An answer that leaves the ETag out contradicts none.
  const bool comparable = !version.empty() && (version[0] == '"') == (pinned_.version[0] == '"');
  const bool other = comparable && version != pinned_.version;
  if (head.status == 200) {
    outcome_ = other ? RangeOutcome::changed : RangeOutcome::no_ranges;
    return false;
  }
  const auto range = content_range(head);
  if (range && (other || range->total != *pinned_.size_bytes)) {
    outcome_ = RangeOutcome::changed;
    return false;
  }
  if (!range || range->first != at_ || range->last != end_ - 1) {
    throw Error(ExitCode::remote, "http-status", subject_,
                "asked for the bytes " + std::to_string(at_) + "-" + std::to_string(end_ - 1) +
                    " of " + std::to_string(*pinned_.size_bytes) + "\n" +
                    shown_content_range(head));
  }
  return true;
}

void RangeRead::body(Bytes bytes) {
  calls_.count_received(bytes.size());
  if (bytes.size() > end_ - at_) throw sent_too_much(subject_);
  receiver_.write(bytes);
  at_ += bytes.size();
  if (at_ >= furthest_ + k_progress_bytes) {
    furthest_ = at_;
    retrier_.progress();
  }
}

std::optional<HttpFailure> RangeRead::end_request() {
  if (outcome_ || at_ == end_) return std::nullopt;
  return HttpFailure{true, "transfer-cut", "the server sent less than the range asked for", {}};
}

Error RangeRead::error_of(const HttpFailure& failure) const {
  std::string text = failure.message;
  if (failure.reason != "http-status") {
    text += "\nafter " + std::to_string(at_ - begin_) + " of the bytes " + std::to_string(begin_) +
            "-" + std::to_string(end_ - 1);
  }
  return {ExitCode::remote, failure.reason, subject_, text, failure.hint};
}

void Probe::dress(HttpRequest& request) {
  request.headers.emplace_back("Range: bytes=0-0");
}

void Probe::body(Bytes bytes) {
  if (bytes.size() > 1) throw sent_too_much(subject_);
}

Error Probe::error_of(const HttpFailure& failure) const {
  return {ExitCode::remote, failure.reason, subject_, failure.message, failure.hint};
}

}  // namespace mad
