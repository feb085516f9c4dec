#include "exchange/push.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "bundle/bundle.hpp"
#include "exchange/pair_writer.hpp"
#include "exchange/remote_pair.hpp"
#include "snapshot/names.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

using Condition = PutOptions::Condition;

/// The digest of an object that is read back.
class ReadBack final : public Receiver {
 public:
  void begin(const ObjectInfo&) override {}
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
  /// It was read back and is not what it is said to be.
  bool is_damaged = false;
  std::optional<SmallObject> manifest;
  /// A dead writer's, and the npz's own.
  std::optional<SmallObject> completing;

  bool maybe_anything() const { return !readable || npz || manifest; }
};

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
    writer_.emplace(*transport_, manifests(), names_, apart());
    if (request.limit_rate > 0) limit_.emplace(request.limit_rate);
  }

  void run() {
    remote_ = look();
    spare_what_could_not_be_read();
    report_.set("url", redacted_url(names_.npz));
    if (is_known_to_be_there()) return;
    if (request_.if_absent) refuse_if_there();
    if (remote_.completing) {
      complete_dead_writer();
      if (is_known_to_be_there()) return;
    }

    const auto sent = source_.send(
        [this](std::uint64_t chunk_bytes) -> PartSender& { return begin(chunk_bytes); });
    if (!sent) {
      log_note(source_.subject() + ": there is no snapshot to push");
      report_.set("stage", "absent");
      return;
    }
    if (is_there(sent->manifest, sent->sha256, sent->size_bytes)) {
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
            choose_manifest(*transport_, names_, *state.npz, {text_of(state.manifest), {}});
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
      writer_->write_unseen();
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

  /// Whether the store says that it has this very npz, with this very manifest, and gives it
  /// back where that is asked for.
  bool is_there(const std::string& manifest, const Digest& sha256, std::uint64_t size_bytes) {
    if (!remote_.npz || !remote_.manifest || remote_.manifest->text != manifest) return false;
    if (remote_.completing || remote_.is_damaged) return false;
    const auto digest = remote_.npz->metadata.find(k_digest_metadata);
    if (digest == remote_.npz->metadata.end() || digest->second != to_hex(sha256)) return false;
    if (!request_.verify) return true;
    if (read_back(size_bytes) == sha256) {
      report_.set("verified", true);
      return true;
    }
    remote_.is_damaged = true;
    log_warning(display_url(names_.npz) +
                ": it is there, and is not what its manifest says; it is sent again");
    return false;
  }

  /// Then nothing is left to do.
  bool is_known_to_be_there() {
    if (!source_.manifest()) return false;
    if (!is_there(*source_.manifest(), *source_.sha256(), *source_.size_bytes())) return false;
    unchanged(*source_.sha256(), *source_.size_bytes(), source_.signature());
    return true;
  }

  void unchanged(const Digest& sha256, std::uint64_t size_bytes,
                 const std::optional<std::string>& signature) {
    log_note(display_url(names_.npz) + ": this snapshot is there already");
    if (signature && has_signature_place() &&
        text_of(get_small_if_allowed(manifests(), names_.signature, k_max_signature_bytes)) !=
            *signature) {
      writer_->put(names_.signature, *signature);
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
    writer_->committed(*remote_.npz);
    const auto signature =
        get_small_if_allowed(*transport_, names_.next_signature, k_max_signature_bytes);
    if (signature) {
      next_signature_version_ = signature->version;
      writer_->put_beside_npz(names_.signature, signature->text);
    } else {
      writer_->remove_beside_npz(names_.signature);
    }
    next_version_ = remote_.completing->version;
    writer_->put_beside_npz(remote_.manifest, names_.manifest, remote_.completing->text);
    remove_next();
    remote_.completing.reset();
    remote_.manifest = get_small(manifests(), names_.manifest, k_max_manifest_bytes);
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

  /// What this writer, or the dead one that it completed, put there; the signature first, as
  /// everywhere.  What stays of `.next` is what the manifest says, or of another npz than is
  /// there; the next push writes over it.
  void remove_next() {
    if (next_signature_version_) {
      writer_->remove_if_allowed(names_.next_signature, *next_signature_version_);
    }
    if (next_version_) writer_->remove_if_allowed(names_.next, *next_version_);
    next_signature_version_.reset();
    next_version_.reset();
  }

  void commit(const SentSnapshot& sent) {
    sender_->drain();
    if (!apart()) {
      if (sent.signature) {
        next_signature_version_ = writer_->put(names_.next_signature, *sent.signature);
      }
      next_version_ = writer_->put(names_.next, sent.manifest);
    }
    const bool metadata = transport_->capabilities().metadata;
    const auto npz =
        sender_->finish(metadata ? Metadata{{k_digest_metadata, to_hex(sent.sha256)}} : Metadata{});
    if (!npz) lost_race();
    sender_.reset();
    writer_->committed(*npz);
    try {
      after_npz(sent, *npz);
    } catch (const Error& error) {
      if (error.reason == "read-back-mismatch") throw;
      if (error.reason == "lost-race") {
        remove_next();
        throw;
      }
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
      damaged_npz(std::to_string(sent.size_bytes) + " bytes",
                  std::to_string(*npz.size_bytes) + " bytes");
    }
    if (request_.verify) {
      const Digest found = read_back(sent.size_bytes);
      if (found != sent.sha256) damaged_npz("SHA-256 " + to_hex(sent.sha256), to_hex(found));
    }
    place_signature(sent);
    writer_->put_beside_npz(remote_.manifest, names_.manifest, sent.manifest);
    if (request_.verify) {
      const auto found = get_small(manifests(), names_.manifest, k_max_manifest_bytes);
      if (!found || found->text != sent.manifest) {
        read_back_mismatch(names_.manifest, "the manifest that was written", "another");
      }
      report_.set("verified", true);
    }
    remove_next();
  }

  void place_signature(const SentSnapshot& sent) {
    if (!has_signature_place()) {
      if (sent.signature) {
        log_warning(display_url(names_.manifest) +
                    ": its signature is not pushed: --manifest-url is signed for one object");
      }
    } else if (sent.signature) {
      writer_->put_beside_npz(names_.signature, *sent.signature);
    } else if (!apart() && remote_.maybe_anything()) {
      writer_->remove_beside_npz(names_.signature);
    }
  }

  Digest read_back(std::uint64_t size_bytes) {
    ReadBack back;
    if (transport_->get(names_.npz, back, size_bytes) != GetOutcome::complete) {
      throw Error(ExitCode::remote, "lost-race", display_url(names_.npz),
                  "it was replaced or removed while it was read back");
    }
    return back.finish();
  }

  /// Without its `.next`, nobody takes it for the work of a writer that died, and completes it.
  [[noreturn]] void damaged_npz(const std::string& expected, const std::string& found) {
    remove_next();
    read_back_mismatch(names_.npz, expected, found);
  }

  [[noreturn]] static void read_back_mismatch(const Url& url, const std::string& expected,
                                              const std::string& found) {
    throw Error(ExitCode::refused, "read-back-mismatch", display_url(url),
                "what was read back is not what was written\nexpected: " + expected +
                    "\nfound:    " + found);
  }

  /// Another writer's npz took the place between our look and our commit.
  [[noreturn]] void lost_race() {
    remove_next();
    if (request_.if_absent) {
      throw Error(ExitCode::refused, "already-there", display_url(names_.npz),
                  "expected nothing there (--if-absent), found what another writer put there "
                  "meanwhile");
    }
    throw lost_race_error(names_.npz);
  }

  PushSource& source_;
  const PushRequest& request_;
  Report& report_;
  std::shared_ptr<Stop> stop_;
  std::unique_ptr<Transport> transport_;
  /// Null where it is the npz's.
  std::unique_ptr<Transport> manifest_transport_;
  RemoteNames names_;
  std::optional<PairWriter> writer_;
  RemoteState remote_;
  /// Of `.next`, where it is this writer's to remove; empty where the store tells none.
  std::optional<std::string> next_version_;
  std::optional<std::string> next_signature_version_;
  std::optional<RateLimit> limit_;
  std::optional<PartSender> sender_;
};

}  // namespace

void push_snapshot(PushSource& source, const PushRequest& request, Report& report) {
  Push(source, request, report).run();
}

}  // namespace mad
