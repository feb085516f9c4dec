#include "exchange/push.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
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
  std::optional<ObjectInfo> npz;
  std::optional<std::string> manifest;
  /// A dead writer's, and the npz's own.
  std::optional<std::string> completing;

  bool anything() const { return npz || manifest; }
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
    if (request.limit_rate > 0) limit_.emplace(request.limit_rate);
  }

  void run() {
    remote_ = look();
    spare_what_could_not_be_read();
    report_.set("url", display_url(names_.npz));
    if (source_.manifest() && is_there(*source_.manifest(), *source_.sha256())) {
      return unchanged(*source_.sha256(), *source_.size_bytes());
    }
    if (request_.if_absent) refuse_if_there();
    complete_dead_writer();

    const auto sent = source_.send([this]() -> PartSender& { return begin(); });
    if (!sent) {
      log_note(source_.subject() + ": there is no snapshot to push");
      report_.set("stage", "absent");
      return;
    }
    if (is_there(sent->manifest, sent->sha256)) {
      sender_.reset();
      return unchanged(sent->sha256, sent->size_bytes);
    }
    commit(*sent);
  }

 private:
  static TransportOptions with_stop(TransportOptions options, const std::shared_ptr<Stop>& stop) {
    options.stop = stop;
    return options;
  }

  RemoteState look() {
    RemoteState state;
    state.manifest = get_small(*transport_, names_.manifest, k_max_manifest_bytes);
    state.npz = transport_->stat(names_.npz);
    if (state.npz) {
      RemoteChoice choice = choose_manifest(*transport_, names_, *state.npz, state.manifest);
      if (choice.owner == RemoteOwner::next) state.completing = std::move(choice.next);
    }
    return state;
  }

  void spare_what_could_not_be_read() {
    if (!resume_failed() || !remote_.anything()) return;
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

  void unchanged(const Digest& sha256, std::uint64_t size_bytes) {
    log_note(display_url(names_.npz) + ": this snapshot is there already");
    report_.set_status("unchanged");
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
    if (!remote_.anything()) return;
    throw Error(ExitCode::refused, "already-there", display_url(names_.npz),
                "expected nothing there (--if-absent), found " +
                    std::string(remote_.npz ? "an npz" : "a manifest"));
  }

  void complete_dead_writer() {
    if (!remote_.completing) return;
    put_text(names_.manifest, *remote_.completing);
    transport_->remove(names_.next);
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

  PartSender& begin() {
    sender_.reset();
    const SendTarget target{*transport_, names_.npz, *stop_, limit_ ? &*limit_ : nullptr};
    sender_.emplace(target, npz_options(), source_.size_bytes(), request_.plan);
    report_.set("connections", static_cast<std::uint64_t>(sender_->plan().connections));
    report_.set("part_bytes", sender_->plan().part_bytes);
    return *sender_;
  }

  void put_text(const Url& url, const std::string& text, Condition condition = Condition::none) {
    PutOptions options;
    options.condition = condition;
    options.content_type = "application/json";
    if (!transport_->put(url, as_bytes(text), options)) {
      throw Error(ExitCode::refused, "already-there", display_url(url),
                  "expected nothing there (--if-absent), found another writer's");
    }
  }

  void commit(const SentSnapshot& sent) {
    sender_->drain();
    put_text(names_.next, sent.manifest);
    if (sent.signature) put_text(names_.next_signature, *sent.signature);
    const bool metadata = transport_->capabilities().metadata;
    const auto npz =
        sender_->finish(metadata ? Metadata{{k_digest_metadata, to_hex(sent.sha256)}} : Metadata{});
    if (!npz) lost_race(sent);
    sender_.reset();
    try {
      after_npz(sent, *npz);
    } catch (const Error& error) {
      if (error.reason == "read-back-mismatch") throw;
      throw Error(error.code, error.reason, error.subject,
                  error.message + "\nthe npz is in its place; mad-fetch finds its manifest at " +
                      display_url(names_.next) + ", and the next push completes it",
                  error.hint);
    }
    tell(sent.sha256, sent.size_bytes);
  }

  void after_npz(const SentSnapshot& sent, const ObjectInfo& npz) {
    if (npz.size_bytes && *npz.size_bytes != sent.size_bytes) {
      read_back_mismatch(names_.npz, std::to_string(sent.size_bytes) + " bytes",
                         std::to_string(*npz.size_bytes) + " bytes");
    }
    if (request_.verify) read_back_npz(sent);
    if (sent.signature) {
      put_text(names_.signature, *sent.signature);
    } else if (remote_.anything()) {
      transport_->remove(names_.signature);
    }
    put_text(names_.manifest, sent.manifest);
    if (request_.verify) {
      const auto found = get_small(*transport_, names_.manifest, k_max_manifest_bytes);
      if (found != sent.manifest) {
        read_back_mismatch(names_.manifest, "the manifest that was written", "another");
      }
      report_.set("verified", true);
    }
    transport_->remove(names_.next);
    if (sent.signature) transport_->remove(names_.next_signature);
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
    if (get_small(*transport_, names_.next, k_max_manifest_bytes) == sent.manifest) {
      transport_->remove(names_.next);
      if (sent.signature) transport_->remove(names_.next_signature);
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
