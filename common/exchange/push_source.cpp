#include "exchange/push_source.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "bundle/bundle_reader.hpp"
#include "exchange/file_pair.hpp"
#include "io/file.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// What is read at once: hashed while it is hot in the second-level cache.
constexpr std::size_t k_step = std::size_t{512} << 10U;

[[noreturn]] void refuse_snapshot(const std::string& subject, const char* reason,
                                  const std::string& what, const std::string& expected,
                                  const std::string& found) {
  throw Error(ExitCode::refused, reason, subject,
              what + " mismatch\nmanifest: " + expected + "\nfound:    " + found);
}

/// The digests of what goes by, held against a manifest at the end.
class PassingDigests {
 public:
  explicit PassingDigests(std::uint64_t chunk_bytes) : hash_(chunk_bytes) {}

  void update(Bytes bytes) { hash_.update(bytes); }

  SentSnapshot check(const std::string& subject, const std::string& text,
                     const Manifest& manifest) {
    SentSnapshot sent;
    sent.manifest = text;
    sent.size_bytes = hash_.length_bytes();
    sent.sha256 = hash_.finish();
    if (manifest.size_bytes && *manifest.size_bytes != sent.size_bytes) {
      refuse_snapshot(subject, "size-mismatch", "size",
                      std::to_string(*manifest.size_bytes) + " bytes",
                      std::to_string(sent.size_bytes) + " bytes");
    }
    if (manifest.sha256 != sent.sha256) {
      refuse_snapshot(subject, "sha256-mismatch", "SHA-256", to_hex(manifest.sha256),
                      to_hex(sent.sha256));
    }
    check_chunks(subject, manifest);
    return sent;
  }

 private:
  void check_chunks(const std::string& subject, const Manifest& manifest) const {
    if (!manifest.chunks || manifest.chunks->chunk_bytes != hash_.chunk_bytes()) return;
    const auto& expected = manifest.chunks->digests;
    const auto& found = hash_.chunks();
    if (expected.size() != found.size()) {
      refuse_snapshot(subject, "chunk-mismatch", "number of chunks",
                      std::to_string(expected.size()), std::to_string(found.size()));
    }
    const auto differing = std::mismatch(expected.begin(), expected.end(), found.begin());
    if (differing.first == expected.end()) return;
    refuse_snapshot(subject, "chunk-mismatch",
                    "chunk " + std::to_string(differing.first - expected.begin()),
                    to_hex(*differing.first), to_hex(*differing.second));
  }

  ChunkedSha256 hash_;
};

class FileSource final : public PushSource {
 public:
  explicit FileSource(const std::string& npz_path)
      : path_(npz_path),
        subject_(printable(npz_path)),
        snapshot_(open_snapshot(npz_path, ManifestNeed::required)),
        manifest_(parse_manifest(*snapshot_.manifest, printable(snapshot_.manifest_path))),
        signature_(signature_of(snapshot_)) {}

  const std::string& subject() const override { return subject_; }
  const std::optional<std::string>& manifest() const override { return snapshot_.manifest; }
  const std::optional<std::string>& signature() const override { return signature_; }
  std::optional<Digest> sha256() const override { return manifest_.sha256; }
  std::optional<std::uint64_t> size_bytes() const override { return snapshot_.size_bytes; }

  std::optional<SentSnapshot> send(const std::function<PartSender&()>& begin) override {
    PartSender& sender = begin();
    Progress progress(split_path(path_).name, snapshot_.size_bytes);
    PassingDigests digests(manifest_.chunks ? manifest_.chunks->chunk_bytes : chunk_bytes_for(0));
    for (std::uint64_t done = 0; done < snapshot_.size_bytes;) {
      const MutableBytes room = sender.room();
      const auto wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(room.size(), k_step), snapshot_.size_bytes - done));
      const std::size_t n = pread_full(snapshot_.npz.get(), room.first(wanted), done, path_);
      digests.update(room.first(n));
      sender.filled(n);
      progress.add(n);
      done += n;
      if (n < wanted) break;
    }
    SentSnapshot sent = digests.check(subject_, *snapshot_.manifest, manifest_);
    sent.signature = signature_;
    return sent;
  }

 private:
  std::string path_;
  std::string subject_;
  OpenSnapshot snapshot_;
  Manifest manifest_;
  std::optional<std::string> signature_;
};

class BundleSource final : public PushSource {
 public:
  explicit BundleSource(int fd)
      : source_(fd, "standard input"), reader_(source_, SealNeed::sealed, subject_) {}

  const std::string& subject() const override { return subject_; }
  const std::optional<std::string>& manifest() const override { return none_; }
  const std::optional<std::string>& signature() const override { return none_; }
  std::optional<Digest> sha256() const override { return std::nullopt; }
  std::optional<std::uint64_t> size_bytes() const override { return std::nullopt; }

  std::optional<SentSnapshot> send(const std::function<PartSender&()>& begin) override {
    sender_ = nullptr;
    for (;;) {
      switch (reader_.next()) {
        case BundleReader::Kind::manifest:
          manifest_ = reader_.text();
          parsed_ = parse_manifest(*manifest_, subject_ + ": manifest");
          break;
        case BundleReader::Kind::signature:
          signature_ = reader_.text();
          break;
        case BundleReader::Kind::data:
          if (sender_ == nullptr) start(begin);
          copy_part();
          break;
        case BundleReader::Kind::restart:
          log_note("the stream began again: its source changed while it was read");
          forget();
          break;
        case BundleReader::Kind::seal:
          return end(begin);
      }
    }
  }

 private:
  void start(const std::function<PartSender&()>& begin) {
    sender_ = &begin();
    const bool known = parsed_ && parsed_->chunks;
    digests_.emplace(known ? parsed_->chunks->chunk_bytes : chunk_bytes_for(0));
    progress_.emplace(reader_.name(), parsed_ ? parsed_->size_bytes : std::nullopt);
  }

  void copy_part() {
    while (reader_.part_bytes_left() > 0) {
      const MutableBytes room = sender_->room();
      const auto wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(room.size(), k_step), reader_.part_bytes_left()));
      const std::size_t n = reader_.part().read(room.first(wanted));
      if (n == 0) return;  // next() says why
      digests_->update(room.first(n));
      sender_->filled(n);
      progress_->add(n);
    }
  }

  void forget() {
    sender_ = nullptr;
    digests_.reset();
    manifest_.reset();
    parsed_.reset();
    signature_.reset();
  }

  std::optional<SentSnapshot> end(const std::function<PartSender&()>& begin) {
    const Seal& seal = reader_.seal();
    if (seal.stage == Stage::failed) throw error_of(seal);
    if (seal.stage == Stage::absent) return std::nullopt;
    if (!parsed_) {
      throw Error(ExitCode::not_found, "manifest-missing", subject_,
                  "expected a manifest in the bundle, found none");
    }
    if (sender_ == nullptr) start(begin);
    if (seal.size_bytes && *seal.size_bytes != sender_->sent_bytes()) {
      throw Error(ExitCode::refused, "bundle-invalid", subject_,
                  "expected " + std::to_string(*seal.size_bytes) +
                      " bytes of npz as the seal says, found " +
                      std::to_string(sender_->sent_bytes()));
    }
    progress_.reset();
    SentSnapshot sent = digests_->check(subject_ + ": " + reader_.name(), *manifest_, *parsed_);
    sent.signature = signature_;
    return sent;
  }

  std::string subject_ = "standard input";
  std::optional<std::string> none_;
  FdSource source_;
  BundleReader reader_;
  PartSender* sender_ = nullptr;
  std::optional<PassingDigests> digests_;
  std::optional<Progress> progress_;
  std::optional<std::string> manifest_;
  std::optional<Manifest> parsed_;
  std::optional<std::string> signature_;
};

}  // namespace

std::unique_ptr<PushSource> push_from_file(const std::string& npz_path) {
  return std::make_unique<FileSource>(npz_path);
}

std::unique_ptr<PushSource> push_from_bundle(int fd) {
  return std::make_unique<BundleSource>(fd);
}

}  // namespace mad
