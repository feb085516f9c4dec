#include "exchange/fetch.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "bundle/bundle.hpp"
#include "exchange/file_pair.hpp"
#include "exchange/remote_npz.hpp"
#include "exchange/remote_pair.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

Error manifest_missing(const std::string& subject) {
  return {ExitCode::not_found, "manifest-missing", subject, "there is no such manifest",
          "--manifest-url says where it is; --skip-integrity-check goes on without"};
}

class RemotePair {
 public:
  RemotePair(const FetchRequest& request, Delivery& delivery, Report& report)
      : request_(request),
        delivery_(delivery),
        report_(report),
        url_(request.found ? *request.found : parse_url(request.url)),
        manifest_url_(request.manifest_url.empty() ? with_path_suffix(url_, k_manifest_suffix)
                                                   : parse_url(request.manifest_url)),
        stop_(std::make_shared<Stop>()),
        transport_(open_transport(url_, transport_options())),
        manifest_transport_(request.manifest_url.empty() || same_origin(url_, manifest_url_)
                                ? nullptr
                                : open_transport(manifest_url_, without_headers(request))),
        progress_(bundle_name(last_component(url_)), std::nullopt),
        npz_({*transport_, url_, *stop_, request.max_size_bytes, request.ranges}, delivery,
             progress_) {}

  void fetch() {
    for (int restarts = 0;; ++restarts) {
      if (fetch_once()) {
        report_.set("restarts", static_cast<std::uint64_t>(restarts));
        break;
      }
      if (restarts == k_max_pair_restarts) {
        throw Error(ExitCode::remote, "object-changing", display_url(url_),
                    "npz or manifest changed while they were read, " +
                        std::to_string(restarts + 1) + " times in a row",
                    "its writer does not rest; try again later");
      }
      log_note(display_url(url_) +
               ": npz or manifest changed while they were read, or on their way; reading again");
      interruptible_sleep(jitter(request_.transport.retry.first_delay * (1 << restarts)));
    }
    const TransferFigures figures = transport_->figures();
    report_.set("received_bytes", figures.received_bytes);
    report_.set("requests", figures.requests);
    report_.set("retries", figures.retries);
  }

 private:
  TransportOptions transport_options() const {
    TransportOptions options = request_.transport;
    options.stop = stop_;
    return options;
  }

  /// What is meant for the npz's origin is not sent to the manifest's.
  static TransportOptions without_headers(const FetchRequest& request) {
    TransportOptions options = request.transport;
    options.headers.clear();
    return options;
  }

  std::optional<std::string> get_manifest() {
    return text_of(get_small(manifest_transport_ ? *manifest_transport_ : *transport_,
                             manifest_url_, k_max_manifest_bytes));
  }

  /// The signature of the manifest at `manifest_url_`; a URL that is signed for that one does
  /// not show it, and then there is none.  Before anything is known of the npz: a writer puts
  /// it in its place after the npz, so that what belongs to another npz is not taken.
  std::optional<std::string> get_signature() {
    return text_of(get_small_if_allowed(manifest_transport_ ? *manifest_transport_ : *transport_,
                                        with_path_suffix(manifest_url_, ".sig"),
                                        k_max_signature_bytes));
  }

  PairTexts left_by_a_writer(std::string manifest) {
    const Url next_signature = RemoteNames(url_).next_signature;
    log_note(display_url(url_) + ": its writer was interrupted; " +
             display_url(RemoteNames(url_).next) + " is its manifest");
    return {std::move(manifest),
            text_of(get_small_if_allowed(*transport_, next_signature, k_max_signature_bytes))};
  }

  /// By what the store says of the npz: these, or what a writer that died left for it.
  PairTexts own_texts(const ObjectInfo& npz, PairTexts texts) {
    if (!request_.manifest_url.empty()) return texts;
    RemoteChoice choice = choose_manifest(*transport_, RemoteNames(url_), npz, texts);
    if (choice.owner == RemoteOwner::manifest) return texts;
    return left_by_a_writer(std::move(choice.next->text));
  }

  /// The same by the bytes that came; nothing where it is not what a writer left.
  std::optional<PairTexts> texts_left_for(const Digest& npz,
                                          const std::optional<std::string>& found) {
    if (!request_.manifest_url.empty()) return std::nullopt;
    const Url next = RemoteNames(url_).next;
    auto text = text_of(get_small_if_allowed(*transport_, next, k_max_manifest_bytes));
    const auto parsed = parse_or_none(text, next);
    if (!parsed || parsed->sha256 != npz || text == found) return std::nullopt;
    return left_by_a_writer(std::move(*text));
  }

  /// What one request brings is not asked about before.
  bool is_small(const std::optional<Manifest>& manifest) const {
    return manifest && manifest->size_bytes &&
           *manifest->size_bytes <= one_request_bytes(request_.ranges);
  }

  /// A chunk that is wrong may be another npz's, whose manifest is there by now or is to come,
  /// or was damaged on the way: the pair is read once more, what was right of it excepted.
  GetOutcome read_npz(const std::optional<ObjectInfo>& info, const PairTexts& texts,
                      const std::optional<std::string>& found) {
    try {
      return npz_.read(info, texts);
    } catch (const Error& error) {
      if (error.reason != "chunk-mismatch") throw;
      if (get_manifest() == found && std::exchange(was_wrong_, true)) throw;
      log_verbose(error.what());
      return GetOutcome::changed;
    }
  }

  /// False where the pair must be read again.
  bool fetch_once() {
    const std::optional<std::string> found = get_manifest();
    const std::optional<Manifest> parsed = parse_or_none(found, manifest_url_);
    PairTexts texts{found, found ? get_signature() : std::nullopt};
    std::optional<ObjectInfo> info;
    if (!is_small(parsed)) {
      info = transport_->stat(url_);
      if (!info) {
        snapshot_missing(found);
        return true;
      }
      texts = own_texts(*info, std::move(texts));
    }
    if (!texts.manifest && !request_.skip_integrity_check) {
      throw manifest_missing(display_url(manifest_url_));
    }
    GetOutcome outcome = read_npz(info, texts, found);
    // Without `info` it is small, and has a manifest.
    if (outcome == GetOutcome::complete && !info &&
        (texts.signature || npz_.sha256() != parsed->sha256)) {
      if (auto left = texts_left_for(npz_.sha256(), found)) {
        texts = std::move(*left);
        npz_.restart();
        outcome = npz_.read(info, texts);
      }
    }
    if (outcome == GetOutcome::missing) {
      snapshot_missing(found);
      return true;
    }
    if (outcome == GetOutcome::changed || get_manifest() != found) {
      npz_.restart();
      return false;
    }
    delivery_.finish();
    report_.set("stage", "fetched");
    npz_.tell(report_);
    if (!texts.manifest)
      log_warning(display_url(url_) + ": no manifest; nothing vouches for the npz");
    return true;
  }

  /// Tells the delivery that there is nothing yet, or throws.
  void snapshot_missing(const std::optional<std::string>& manifest) {
    if (request_.if_exists && !manifest) {
      report_absent(delivery_, report_, "not-there-yet",
                    display_url(url_) + ": neither npz nor manifest is there yet");
      return;
    }
    throw Error(ExitCode::not_found, "snapshot-missing", display_url(url_),
                manifest ? "there is no such npz, only its manifest" : "there is no such snapshot");
  }

  const FetchRequest& request_;
  Delivery& delivery_;
  Report& report_;
  Url url_;
  Url manifest_url_;
  std::shared_ptr<Stop> stop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Transport> manifest_transport_;
  Progress progress_;
  RemoteNpz npz_;
  /// A chunk was, and the manifest is the same.
  bool was_wrong_ = false;
};

}  // namespace

void report_absent(Delivery& delivery, Report& report, const std::string& reason,
                   const std::string& message) {
  log_note(message);
  delivery.absent(reason, message);
  report.set("stage", "absent");
  report.set_reason(reason);
}

std::string snapshot_name(const std::string& url) {
  if (!scheme_of(url)) return bundle_name(url);
  try {
    return bundle_name(last_component(parse_url(url)));
  } catch (const Error&) {
    return bundle_name("");
  }
}

std::string redacted_source(const std::string& url) {
  return scheme_of(url) ? redacted_url_text(url) : url;
}
std::string display_source(const std::string& url) {
  return printable(redacted_source(url));
}

SourceNames name_sources(const FetchRequest& request) {
  SourceNames names;
  const auto scheme = scheme_of(request.url);
  if (request.found || (scheme && *scheme != "file")) {
    const Url url = request.found ? *request.found : parse_url(request.url);
    names = {display_url(url), display_url(with_path_suffix(url, k_manifest_suffix))};
  } else {
    const std::string path = scheme ? path_of_file_url(request.url) : request.url;
    names = {printable(path), printable(path + std::string(k_manifest_suffix))};
  }
  if (!request.manifest_url.empty()) names.manifest = display_source(request.manifest_url);
  return names;
}

void fetch_snapshot(const FetchRequest& request, Delivery& delivery, Report& report) {
  if (request.url.empty()) {
    report_absent(delivery, report, "no-url", "no URL given and RESUME_FROM_URL is not set");
    return;
  }
  report.set("url", redacted_source(request.url));
  const auto scheme = scheme_of(request.url);
  if (request.found || (scheme && *scheme != "file"))
    return RemotePair(request, delivery, report).fetch();
  fetch_file_pair(scheme ? path_of_file_url(request.url) : request.url, request, delivery, report);
}

}  // namespace mad
