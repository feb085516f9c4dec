#include "transport/http.hpp"

#include <algorithm>
#include <ctime>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "transport/address.hpp"
#include "transport/http_client.hpp"

namespace mad {
namespace {

constexpr int k_max_redirects = 10;
/// Less than this is no progress: a server must not feed us a byte an attempt for ever.
constexpr std::uint64_t k_progress_bytes = std::uint64_t{1} << 20U;

/// By what one version of an object is known again.
struct Version {
  std::string etag;  ///< weak ones too: they can tell versions apart, but not pin one
  std::string last_modified;
  bool last_modified_is_strong = false;
  std::optional<std::uint64_t> size_bytes;

  bool etag_is_strong() const { return !etag.empty() && etag[0] == '"'; }
  /// The value for If-Range, or nothing where no range may be asked for.
  std::string pin() const {
    if (etag_is_strong()) return etag;
    return last_modified_is_strong && size_bytes ? last_modified : std::string();
  }
};

Version version_of(const HttpHead& head) {
  Version version;
  version.etag = head.find("etag").value_or("");
  version.last_modified = head.find("last-modified").value_or("");
  const auto modified = parse_http_date(version.last_modified);
  const auto date = parse_http_date(head.find("date").value_or(""));
  // RFC 9110, 8.8.2.2: two versions of one second would have the same date.
  version.last_modified_is_strong = modified && date && *date > *modified;
  return version;
}

/// Whether the two may be the same version: nothing that both tell contradicts it.
bool may_be_same(const Version& a, const Version& b) {
  const auto differ = [](const std::string& x, const std::string& y) {
    return !x.empty() && !y.empty() && x != y;
  };
  return !differ(a.etag, b.etag) && !differ(a.last_modified, b.last_modified) &&
         (!a.size_bytes || !b.size_bytes || *a.size_bytes == *b.size_bytes);
}

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

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_transient(int status) {
  return status == 408 || status == 429 || status >= 500;
}

/// One object on its way, over all attempts to get it.
class Download final : public HttpHandler {
 public:
  Download(const Url& url, Receiver* receiver, std::uint64_t max_bytes, TransferFigures& figures,
           Retrier& retrier)
      : subject_(display_url(url)),
        receiver_(receiver),
        max_bytes_(max_bytes),
        figures_(figures),
        retrier_(retrier) {}

  void begin_request() {
    skip_bytes_ = 0;
    until_ = std::nullopt;
    redirect_.reset();
    failure_.reset();
    retry_after_.reset();
    outcome_.reset();
  }

  /// What the next request must say to go on where the last one stopped.
  std::vector<std::string> range_headers() const {
    const std::string pin = done_bytes_ > 0 ? version_.pin() : std::string();
    if (pin.empty()) return {};
    return {"Range: bytes=" + std::to_string(done_bytes_) + "-", "If-Range: " + pin};
  }

  bool head(const HttpHead& head) override {
    if (is_redirect(head.status) && head.find("location")) {
      redirect_ = std::string(*head.find("location"));
      return false;
    }
    const bool going_on = begun_;
    switch (head.status) {
      case 200:
        return take_whole(head);
      case 206:
        return take_range(head);
      case 404:
      case 410:
        outcome_ = going_on ? GetOutcome::changed : GetOutcome::missing;
        return false;
      case 401:
      case 403:
        throw Error(ExitCode::access_denied, "access-denied", subject_,
                    "the server answers " + std::to_string(head.status) +
                        (head.status == 401 ? " Unauthorized" : " Forbidden"),
                    "give credentials with -H @FILE or --netrc; a signed URL may have expired");
      case 412:
      case 416:
        if (going_on) {
          outcome_ = GetOutcome::changed;
          return false;
        }
        break;
      default:
        break;
    }
    const std::string what = "the server answers " + std::to_string(head.status);
    if (!is_transient(head.status)) throw final_error(what);
    failure_ = HttpFailure{true, "http-status", what, {}};
    if (const auto value = head.find("retry-after")) {
      retry_after_ = parse_retry_after(*value, std::time(nullptr));
    }
    return false;
  }

  void body(Bytes bytes) override {
    figures_.received_bytes += bytes.size();
    const auto skipped =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), skip_bytes_));
    skip_bytes_ -= skipped;
    bytes = bytes.subspan(skipped);
    if (bytes.empty()) return;
    if (bytes.size() > max_bytes_ - done_bytes_) too_large("more");
    if (until_ && bytes.size() > *until_ - done_bytes_) {
      throw final_error("the server sends more bytes than it announced");
    }
    receiver_->write(bytes);
    done_bytes_ += bytes.size();
    if (done_bytes_ >= furthest_ + k_progress_bytes) {
      furthest_ = done_bytes_;
      retrier_.progress();
    }
  }

  /// After an exchange without a failure of its own.
  std::optional<HttpFailure> end_request() {
    if (failure_ || outcome_ || redirect_) return failure_;
    if (receiver_ != nullptr && version_.size_bytes && done_bytes_ < *version_.size_bytes) {
      return HttpFailure{true,
                         "transfer-cut",
                         "the server sent " + std::to_string(done_bytes_) + " of " +
                             std::to_string(*version_.size_bytes) + " bytes",
                         {}};
    }
    outcome_ = GetOutcome::complete;
    return std::nullopt;
  }

  const std::string& subject() const { return subject_; }
  const std::optional<std::string>& redirect() const { return redirect_; }
  std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }
  std::optional<GetOutcome> outcome() const { return outcome_; }

  /// The failure with how far the transfer came.
  Error error_of(const HttpFailure& failure) const {
    std::string text = failure.message;
    if (done_bytes_ > 0 && failure.reason != "http-status") {
      text += "\nafter " + std::to_string(done_bytes_);
      text += version_.size_bytes ? " of " + std::to_string(*version_.size_bytes) + " bytes"
                                  : std::string(" bytes");
    }
    return {ExitCode::remote, failure.reason, subject_, text, failure.hint};
  }

 private:
  Error final_error(const std::string& what) const {
    return {ExitCode::remote, "http-status", subject_, what};
  }

  [[noreturn]] void too_large(const std::string& found) const {
    throw Error(ExitCode::refused, "too-large", subject_,
                "expected at most " + std::to_string(max_bytes_) + " bytes, found " + found,
                "--max-size sets the bound");
  }

  void demand_identity(const HttpHead& head) const {
    const auto encoding = head.find("content-encoding");
    if (encoding && !encoding->empty() && *encoding != "identity") {
      throw final_error("expected the bytes as they are, found Content-Encoding '" +
                        printable(*encoding, 40) + "'");
    }
  }

  bool take_whole(const HttpHead& head) {
    demand_identity(head);
    Version found = version_of(head);
    const auto length = head.find("content-length");
    if (length && !head.find("transfer-encoding")) found.size_bytes = parse_decimal(*length);
    if (found.size_bytes && *found.size_bytes > max_bytes_) {
      too_large(std::to_string(*found.size_bytes));
    }
    if (receiver_ == nullptr) return false;
    if (begun_) {
      if (!may_be_same(version_, found)) {
        outcome_ = GetOutcome::changed;
        return false;
      }
      if (!version_.pin().empty() && version_.pin() == found.pin()) {
        // The same version, but no ranges: what is already delivered is read past.
        skip_bytes_ = done_bytes_;
        until_ = version_.size_bytes;
        return true;
      }
      if (done_bytes_ > 0) {
        log_note(subject_ + ": this server cannot go on with a cut transfer; starting again");
      }
      receiver_->restart();
      done_bytes_ = 0;
    }
    version_ = found;
    until_ = version_.size_bytes;
    receiver_->begin(version_.size_bytes);
    begun_ = true;
    return true;
  }

  bool take_range(const HttpHead& head) {
    demand_identity(head);
    if (range_headers().empty()) throw final_error("the server answers 206 to a request for all");
    const std::string text(head.find("content-range").value_or("none"));
    const auto range = parse_content_range(text);
    Version found = version_of(head);
    if (range) found.size_bytes = range->total;
    if (range && range->first == done_bytes_ && !may_be_same(version_, found)) {
      outcome_ = GetOutcome::changed;
      return false;
    }
    const auto length = head.find("content-length");
    const bool right_length =
        range && (!length || parse_decimal(*length) == range->last - range->first + 1);
    if (!range || range->first != done_bytes_ || !right_length) {
      throw final_error("asked for the bytes from " + std::to_string(done_bytes_) + " of " +
                        (version_.size_bytes ? std::to_string(*version_.size_bytes) : "an object") +
                        "\nfound Content-Range '" + printable(text, 80) + "'");
    }
    if (range->total > max_bytes_) too_large(std::to_string(range->total));
    version_.size_bytes = range->total;
    until_ = range->last + 1;
    log_note(subject_ + ": going on at byte " + std::to_string(done_bytes_));
    return true;
  }

  std::string subject_;
  Receiver* receiver_;
  std::uint64_t max_bytes_;
  TransferFigures& figures_;
  Retrier& retrier_;

  Version version_;
  bool begun_ = false;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t furthest_ = 0;

  // Of the request under way.
  std::uint64_t skip_bytes_ = 0;
  std::optional<std::uint64_t> until_;
  std::optional<std::string> redirect_;
  std::optional<HttpFailure> failure_;
  std::optional<std::chrono::seconds> retry_after_;
  std::optional<GetOutcome> outcome_;
};

class HttpTransport final : public Transport {
 public:
  explicit HttpTransport(const TransportOptions& options) : options_(options), client_(options) {}

  GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) override {
    return transfer(url, &receiver, max_bytes);
  }

  bool exists(const Url& url) override {
    return transfer(url, nullptr, ~std::uint64_t{0}) == GetOutcome::complete;
  }

  TransferFigures figures() const override { return figures_; }

 private:
  GetOutcome transfer(const Url& url, Receiver* receiver, std::uint64_t max_bytes) {
    Retrier retrier(options_.retry);
    Download download(url, receiver, max_bytes, figures_, retrier);
    for (;;) {
      const auto failure = attempt(url, download);
      if (!failure) return *download.outcome();
      const Error error = download.error_of(*failure);
      if (!failure->transient) throw Error(error);
      retrier.wait_or_throw(error, download.retry_after());
      ++figures_.retries;
    }
  }

  /// From the URL given through its redirects, which may be signed for a short time.
  std::optional<HttpFailure> attempt(const Url& url, Download& download) {
    HttpRequest request;
    request.url = url;
    request.with_credentials = true;
    for (int redirects = 0;; ++redirects) {
      request.headers = download.range_headers();
      if (request.with_credentials) {
        request.headers.insert(request.headers.end(), options_.headers.begin(),
                               options_.headers.end());
      }
      request.redirected = redirects > 0;
      download.begin_request();
      ++figures_.requests;
      if (auto failure = client_.perform(request, download)) return failure;
      if (!download.redirect()) return download.end_request();
      if (redirects == k_max_redirects) {
        throw refused(download,
                      "redirected more than " + std::to_string(k_max_redirects) + " times");
      }
      const Url next = resolve_reference(request.url, *download.redirect());
      check_redirect(download, request.url, next);
      // Once elsewhere, nothing is sent again, even where the way leads back.
      if (!same_origin(request.url, next)) request.with_credentials = false;
      const std::string userinfo = request.with_credentials ? request.url.userinfo : "";
      request.url = next;
      request.url.userinfo = userinfo;
      log_verbose(download.subject() + ": redirected to " + display_url(next));
    }
  }

  static Error refused(const Download& download, const std::string& what) {
    return {ExitCode::remote, "http-status", download.subject(), what};
  }

  static void check_redirect(const Download& download, const Url& from, const Url& to) {
    const std::string target = "redirected to " + display_url(to) + ", which is never followed: ";
    if (to.scheme != "http" && to.scheme != "https") {
      throw refused(download, target + "only http and https are");
    }
    if (from.scheme == "https" && to.scheme == "http") {
      throw refused(download, target + "it gives up TLS");
    }
    if (is_metadata_host(to.host)) {
      throw refused(download, target + "a link-local or metadata address");
    }
  }

  TransportOptions options_;
  HttpClient client_;
  TransferFigures figures_;
};

}  // namespace

std::unique_ptr<Transport> open_http_transport(const TransportOptions& options) {
  return std::make_unique<HttpTransport>(options);
}

}  // namespace mad
