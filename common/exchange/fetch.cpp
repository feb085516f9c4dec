#include "exchange/fetch.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "bundle/bundle.hpp"
#include "exchange/file_pair.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// A manifest, held whole.
class TextReceiver final : public Receiver {
 public:
  void begin(std::optional<std::uint64_t>) override {}
  void write(Bytes bytes) override { text_ += as_text(bytes); }
  void restart() override { text_.clear(); }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

/// An npz on its way to its delivery, which gets the manifest first.
class NpzReceiver final : public Receiver {
 public:
  NpzReceiver(Delivery& delivery, const std::optional<std::string>& manifest, Progress& progress)
      : delivery_(delivery), manifest_(manifest), progress_(progress) {}

  void begin(std::optional<std::uint64_t> size_bytes) override {
    progress_.restart(size_bytes);
    delivery_.begin(manifest_);
    begun_ = true;
  }
  void write(Bytes bytes) override {
    delivery_.write(bytes);
    size_bytes_ += bytes.size();
    progress_.add(bytes.size());
  }
  void restart() override {
    if (begun_) delivery_.restart();
    begun_ = false;
    size_bytes_ = 0;
  }
  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  Delivery& delivery_;
  const std::optional<std::string>& manifest_;
  Progress& progress_;
  bool begun_ = false;
  std::uint64_t size_bytes_ = 0;
};

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
        url_(parse_url(request.url)),
        manifest_url_(request.manifest_url.empty() ? with_path_suffix(url_, k_manifest_suffix)
                                                   : parse_url(request.manifest_url)),
        transport_(open_transport(url_, request.transport)),
        manifest_transport_(request.manifest_url.empty() || same_origin(url_, manifest_url_)
                                ? nullptr
                                : open_transport(manifest_url_, without_headers(request))) {}

  void fetch() {
    Progress progress(snapshot_name(request_.url), std::nullopt);
    for (int restarts = 0;; ++restarts) {
      if (fetch_once(progress)) {
        report_.set("restarts", static_cast<std::uint64_t>(restarts));
        break;
      }
      if (restarts == k_max_pair_restarts) {
        throw Error(ExitCode::remote, "object-changing", display_url(url_),
                    "npz or manifest changed while they were read, " +
                        std::to_string(restarts + 1) + " times in a row",
                    "its writer does not rest; try again later");
      }
      log_note(display_url(url_) + ": npz or manifest changed while they were read; reading again");
      interruptible_sleep(jitter(request_.transport.retry.first_delay * (1 << restarts)));
    }
    const TransferFigures figures = transport_->figures();
    report_.set("received_bytes", figures.received_bytes);
    report_.set("requests", figures.requests);
    report_.set("retries", figures.retries);
  }

 private:
  /// What is meant for the npz's origin is not sent to the manifest's.
  static TransportOptions without_headers(const FetchRequest& request) {
    TransportOptions options = request.transport;
    options.headers.clear();
    return options;
  }

  std::optional<std::string> get_manifest() {
    Transport& transport = manifest_transport_ ? *manifest_transport_ : *transport_;
    // Another version in the middle is nothing to pair with anything yet: read it again.
    for (int restarts = 0; restarts <= k_max_pair_restarts; ++restarts) {
      TextReceiver receiver;
      switch (transport.get(manifest_url_, receiver, k_max_manifest_bytes)) {
        case GetOutcome::complete:
          return std::move(receiver.text());
        case GetOutcome::missing:
          return std::nullopt;
        case GetOutcome::changed:
          break;
      }
    }
    throw Error(ExitCode::remote, "object-changing", display_url(manifest_url_),
                "it changed while it was read, again and again");
  }

  /// False where the pair must be read again.
  bool fetch_once(Progress& progress) {
    const std::optional<std::string> manifest = get_manifest();
    if (!manifest && !request_.skip_integrity_check) {
      if (transport_->stat(url_)) throw manifest_missing(display_url(manifest_url_));
      snapshot_missing(manifest);
      return true;
    }
    NpzReceiver receiver(delivery_, manifest, progress);
    const GetOutcome outcome = transport_->get(url_, receiver, request_.max_size_bytes);
    if (outcome == GetOutcome::missing) {
      snapshot_missing(manifest);
      return true;
    }
    if (outcome == GetOutcome::changed || get_manifest() != manifest) {
      receiver.restart();
      return false;
    }
    delivery_.finish();
    report_.set("stage", "fetched");
    report_.set("size_bytes", receiver.size_bytes());
    if (!manifest) log_warning(display_url(url_) + ": no manifest; nothing vouches for the npz");
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
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Transport> manifest_transport_;
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

std::string display_source(const std::string& url) {
  return scheme_of(url) ? display_url_text(url) : printable(url);
}

SourceNames name_sources(const FetchRequest& request) {
  SourceNames names;
  const auto scheme = scheme_of(request.url);
  if (scheme && *scheme != "file") {
    const Url url = parse_url(request.url);
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
  report.set("url", display_source(request.url));
  const auto scheme = scheme_of(request.url);
  if (scheme && *scheme != "file") return RemotePair(request, delivery, report).fetch();
  fetch_file_pair(scheme ? path_of_file_url(request.url) : request.url, request, delivery, report);
}

}  // namespace mad
