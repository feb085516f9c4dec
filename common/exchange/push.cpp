#include "exchange/push.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "bundle/bundle.hpp"
#include "exchange/remote_pair.hpp"
#include "snapshot/names.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

using Condition = PutOptions::Condition;

/// The digest of an object that is read back.
class ReadBack final : public Receiver {
 public:
  void begin(std::optional<std::uint64_t>) override {}
  void write(Bytes bytes) override { hash_.update(bytes); }
  void restart() override { hash_ = Sha256(); }
  Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
};

/// What is in the store before anything is written.
struct RemoteState {
  /// False: it may be written and not read, and the rest is unknown.
  bool readable = true;
  std::optional<ObjectInfo> npz;
  std::optional<std::string> manifest;
  /// A dead writer's, and the npz's own.
  std::optional<std::string> completing;

  bool maybe_anything() const { return !readable || npz || manifest; }
};

bool is_denied(const Error& error) {
  return error.reason == "access-denied";
}

class Push {
 public:
  Push(PushSource& source, const PushRequest& request, Report& report)
      : source_(source),
        request_(request),
        report_(report),
        stop_(std::make_shared<Stop>()),
        transport_(open_transport(request.url, with_stop(request.transport, stop_))),
        names_(request.url) {
    if (request.manifest_url) place_manifest(*request.manifest_url);
    if (request.limit_rate > 0) limit_.emplace(request.limit_rate);
  }

  void run() {
    remote_ = look();
    spare_what_could_not_be_read();
    report_.set("url", redacted_url(names_.npz));
    if (source_.manifest() && is_there(*source_.manifest(), *source_.sha256())) {
      return unchanged(*source_.sha256(), *source_.size_bytes(), source_.signature());
    }
    if (request_.if_absent) refuse_if_there();
    complete_dead_writer();

    const auto sent = source_.send(
        [this](std::uint64_t chunk_bytes) -> PartSender& { return begin(chunk_bytes); });
    if (!sent) {
      log_note(source_.subject() + ": there is no snapshot to push");
      report_.set("stage", "absent");
      return;
    }
    if (is_there(sent->manifest, sent->sha256)) {
      sender_.reset();
      return unchanged(sent->sha256, sent->size_bytes, sent->signature);
    }
    commit(*sent);
  }

 private:
  static TransportOptions with_stop(TransportOptions options, const std::shared_ptr<Stop>& stop) {
    options.stop = stop;
    return options;
  }

  /// Whether the manifest has a place of its own.
  bool apart() const { return request_.manifest_url.has_value(); }

  void place_manifest(const Url& url) {
    names_.manifest = url;
    names_.signature = with_path_suffix(url, ".sig");
    if (same_origin(request_.url, url)) return;
    // What is meant for the npz's origin is not sent to the manifest's.
    TransportOptions options = with_stop(request_.transport, stop_);
    options.headers.clear();
    manifest_transport_ = open_transport(url, options);
  }
  /// Where manifests and signatures go.
  Transport& manifests() { return manifest_transport_ ? *manifest_transport_ : *transport_; }
  /// A signed URL leads to one object.
  bool has_signature_place() const { return !apart() || names_.signature.query.empty(); }

  RemoteState look() {
    RemoteState state;
    try {
      state.manifest = get_small(manifests(), names_.manifest, k_max_manifest_bytes);
      state.npz = transport_->stat(names_.npz);
      if (state.npz && !apart()) {
        RemoteChoice choice =
            choose_manifest(*transport_, names_, *state.npz, {state.manifest, {}});
        if (choice.owner == RemoteOwner::next) state.completing = std::move(choice.next);
      }
    } catch (const Error& error) {
      const Capabilities store = transport_->capabilities();
      const bool must_see =
          request_.verify ||
          (request_.if_absent && !(store.conditional_put && store.conditional_upload));
      if (!is_denied(error) || must_see) throw;
      state = {};
      state.readable = false;
      log_note(error.one_line() + "; what is there may not be read, and is written over unseen");
    }
    return state;
  }

  void spare_what_could_not_be_read() {
    if (!resume_failed() || !remote_.maybe_anything()) return;
    if (apart()) {
      throw Error(ExitCode::refused, "resume-failed", display_url(names_.npz),
                  "after a resume that failed, what is or may be there is not replaced, and with "
                  "--manifest-url there is no other name to write to");
    }
    Url spared = names_.npz;
    spared.path = after_failed_name(spared.path);
    warn_of_spared(display_url(names_.npz), display_url(spared));
    names_ = RemoteNames(spared);
    remote_ = RemoteState();
  }

  /// Whether the store says that it has this very npz, with this very manifest.
  bool is_there(const std::string& manifest, const Digest& sha256) const {
    if (!remote_.npz || remote_.manifest != manifest || remote_.completing) return false;
    const auto digest = remote_.npz->metadata.find(k_digest_metadata);
    return digest != remote_.npz->metadata.end() && digest->second == to_hex(sha256);
  }

  void unchanged(const Digest& sha256, std::uint64_t size_bytes,
                 const std::optional<std::string>& signature) {
    log_note(display_url(names_.npz) + ": this snapshot is there already");
    if (signature && has_signature_place() &&
        get_small_if_allowed(manifests(), names_.signature, k_max_signature_bytes) != *signature) {
      put_text(names_.signature, *signature);
      log_note(display_url(names_.signature) + ": its signature was not");
    } else {
      report_.set_status("unchanged");
    }
    tell(sha256, size_bytes);
  }

  void tell(const Digest& sha256, std::uint64_t size_bytes) {
    report_.set("size_bytes", size_bytes);
    report_.set("sha256", to_hex(sha256));
    const TransferFigures figures = transport_->figures();
    report_.set("sent_bytes", figures.sent_bytes);
    report_.set("requests", figures.requests);
    report_.set("retries", figures.retries);
  }

  void refuse_if_there() const {
    if (!remote_.npz && !remote_.manifest) return;
    throw Error(ExitCode::refused, "already-there", display_url(names_.npz),
                "expected nothing there (--if-absent), found " +
                    std::string(remote_.npz ? "an npz" : "a manifest"));
  }

  void complete_dead_writer() {
    if (!remote_.completing) return;
    const auto signature =
        get_small_if_allowed(*transport_, names_.next_signature, k_max_signature_bytes);
    if (signature) {
      put_text(names_.signature, *signature);
    } else {
      remove_if_allowed(names_.signature);
    }
    put_text(names_.manifest, *remote_.completing);
    remove_next(signature.has_value());
    remote_.manifest = std::move(remote_.completing);
    remote_.completing.reset();
    log_note(display_url(names_.npz) + ": completed the snapshot of a writer that was interrupted");
    report_.set("completed_other", true);
  }

  PutOptions npz_options() {
    const Capabilities store = transport_->capabilities();
    PutOptions options;
    if (request_.if_absent) {
      options.condition = Condition::if_absent;
      if (!store.conditional_put || !store.conditional_upload) {
        log_note(display_url(names_.npz) +
                 ": this store cannot refuse a write by a condition at the same instant for every "
                 "size; --if-absent is a look before the write");
      }
    } else if (remote_.npz && !remote_.npz->version.empty() && store.conditional_put &&
               store.conditional_upload) {
      options.condition = Condition::if_version;
      options.version = remote_.npz->version;
    }
    if (store.metadata && source_.sha256()) {
      options.metadata[k_digest_metadata] = to_hex(*source_.sha256());
    }
    return options;
  }

  PartSender& begin(std::uint64_t chunk_bytes) {
    sender_.reset();
    const SendTarget target{*transport_, names_.npz, *stop_, limit_ ? &*limit_ : nullptr};
    sender_.emplace(target, npz_options(), source_.size_bytes(), request_.plan, chunk_bytes);
    report_.set("connections", static_cast<std::uint64_t>(sender_->plan().connections));
    report_.set("part_bytes", sender_->plan().part_bytes);
    return *sender_;
  }

  void put_text(const Url& url, const std::string& text) {
    PutOptions options;
    options.content_type = "application/json";
    try {
      if (manifests().put(url, as_bytes(text), options)) return;
    } catch (const Error& error) {
      const bool is_signed = !names_object(url.scheme) && !url.query.empty();
      if (!is_denied(error) || !is_signed || apart()) throw;
      throw Error(error.code, error.reason, error.subject, error.message,
                  "a signed URL may be good for one object only; --manifest-url gives the "
                  "manifest's");
    }
    throw Error(ExitCode::remote, "http-status", display_url(url),
                "the store refuses it for a condition that was not asked for");
  }

  /// The signature first, as everywhere.
  void remove_next(bool with_signature) {
    if (with_signature) remove_if_allowed(names_.next_signature);
    remove_if_allowed(names_.next);
  }

  /// Who may write need not be allowed to delete: what then stays of `.next` is what the
  /// manifest says, and the next push writes over it.
  void remove_if_allowed(const Url& url) {
    try {
      transport_->remove(url);
    } catch (const Error& error) {
      if (!is_denied(error)) throw;
      log_verbose(error.one_line() + "; it stays, if it is there");
    }
  }

  void commit(const SentSnapshot& sent) {
    sender_->drain();
    if (!apart()) {
      if (sent.signature) put_text(names_.next_signature, *sent.signature);
      put_text(names_.next, sent.manifest);
    }
    const bool metadata = transport_->capabilities().metadata;
    const auto npz =
        sender_->finish(metadata ? Metadata{{k_digest_metadata, to_hex(sent.sha256)}} : Metadata{});
    if (!npz) lost_race(sent);
    sender_.reset();
    try {
      after_npz(sent, *npz);
    } catch (const Error& error) {
      if (error.reason == "read-back-mismatch") throw;
      const std::string rest =
          apart() ? ", its manifest is not: no reader accepts it until it is pushed again"
                  : "; mad-fetch finds its manifest at " + display_url(names_.next) +
                        ", and the next push completes it";
      throw Error(error.code, error.reason, error.subject,
                  error.message + "\nthe npz is in its place" + rest, error.hint);
    }
    tell(sent.sha256, sent.size_bytes);
  }

  void after_npz(const SentSnapshot& sent, const ObjectInfo& npz) {
    if (npz.size_bytes && *npz.size_bytes != sent.size_bytes) {
      read_back_mismatch(names_.npz, std::to_string(sent.size_bytes) + " bytes",
                         std::to_string(*npz.size_bytes) + " bytes");
    }
    if (request_.verify) read_back_npz(sent);
    place_signature(sent);
    put_text(names_.manifest, sent.manifest);
    if (request_.verify) {
      const auto found = get_small(manifests(), names_.manifest, k_max_manifest_bytes);
      if (found != sent.manifest) {
        read_back_mismatch(names_.manifest, "the manifest that was written", "another");
      }
      report_.set("verified", true);
    }
    if (!apart()) remove_next(sent.signature.has_value());
  }

  void place_signature(const SentSnapshot& sent) {
    if (!has_signature_place()) {
      if (sent.signature) {
        log_warning(display_url(names_.manifest) +
                    ": its signature is not pushed: --manifest-url is signed for one object");
      }
    } else if (sent.signature) {
      put_text(names_.signature, *sent.signature);
    } else if (!apart() && remote_.maybe_anything()) {
      remove_if_allowed(names_.signature);
    }
  }

  void read_back_npz(const SentSnapshot& sent) {
    ReadBack back;
    const GetOutcome outcome = transport_->get(names_.npz, back, sent.size_bytes);
    if (outcome != GetOutcome::complete) {
      throw Error(ExitCode::remote, "lost-race", display_url(names_.npz),
                  "it was replaced or removed while it was read back");
    }
    const Digest found = back.finish();
    if (found != sent.sha256) {
      read_back_mismatch(names_.npz, "SHA-256 " + to_hex(sent.sha256), to_hex(found));
    }
  }

  [[noreturn]] static void read_back_mismatch(const Url& url, const std::string& expected,
                                              const std::string& found) {
    throw Error(ExitCode::refused, "read-back-mismatch", display_url(url),
                "what was read back is not what was written\nexpected: " + expected +
                    "\nfound:    " + found);
  }

  /// Another writer's npz took the place between our look and our commit.
  [[noreturn]] void lost_race(const SentSnapshot& sent) {
    // By now it may be the other's, and what readers need.
    if (!apart() &&
        get_small_if_allowed(*transport_, names_.next, k_max_manifest_bytes) == sent.manifest) {
      remove_next(sent.signature.has_value());
    }
    if (request_.if_absent) {
      throw Error(ExitCode::refused, "already-there", display_url(names_.npz),
                  "expected nothing there (--if-absent), found what another writer put there "
                  "meanwhile");
    }
    throw Error(ExitCode::remote, "lost-race", display_url(names_.npz),
                "another writer replaced it while this snapshot was on its way",
                "two writers of one URL exclude each other; give each its own");
  }

  PushSource& source_;
  const PushRequest& request_;
  Report& report_;
  std::shared_ptr<Stop> stop_;
  std::unique_ptr<Transport> transport_;
  /// Null where it is the npz's.
  std::unique_ptr<Transport> manifest_transport_;
  RemoteNames names_;
  RemoteState remote_;
  std::optional<RateLimit> limit_;
  std::optional<PartSender> sender_;
};

}  // namespace

void push_snapshot(PushSource& source, const PushRequest& request, Report& report) {
  Push(source, request, report).run();
}

}  // namespace mad
