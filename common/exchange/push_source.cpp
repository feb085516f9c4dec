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

void check_chunks(const std::string& subject, const Manifest& manifest, const Chunks& found) {
  if (!manifest.chunks || manifest.chunks->chunk_bytes != found.chunk_bytes) return;
  const auto& expected = manifest.chunks->digests;
  if (expected.size() != found.digests.size()) {
    refuse_snapshot(subject, "chunk-mismatch", "number of chunks", std::to_string(expected.size()),
                    std::to_string(found.digests.size()));
  }
  const auto differing = std::mismatch(expected.begin(), expected.end(), found.digests.begin());
  if (differing.first == expected.end()) return;
  refuse_snapshot(subject, "chunk-mismatch",
                  "chunk " + std::to_string(differing.first - expected.begin()),
                  to_hex(*differing.first), to_hex(*differing.second));
}

/// Holds what went by against its manifest.
SentSnapshot check(const std::string& subject, const std::string& text, const Manifest& manifest,
                   const FileDigests& found) {
  if (manifest.size_bytes && *manifest.size_bytes != found.size_bytes) {
    refuse_snapshot(subject, "size-mismatch", "size",
                    std::to_string(*manifest.size_bytes) + " bytes",
                    std::to_string(found.size_bytes) + " bytes");
  }
  if (manifest.sha256 != found.sha256) {
    refuse_snapshot(subject, "sha256-mismatch", "SHA-256", to_hex(manifest.sha256),
                    to_hex(found.sha256));
  }
  check_chunks(subject, manifest, found.chunks);
  return {text, std::nullopt, found.sha256, found.size_bytes};
}

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

  std::optional<SentSnapshot> send(const BeginSender& begin) override {
    PartSender& sender =
        begin(manifest_.chunks ? manifest_.chunks->chunk_bytes : chunk_bytes_for(0));
    Progress progress(split_path(path_).name, snapshot_.size_bytes);
    for (std::uint64_t done = 0; done < snapshot_.size_bytes;) {
      const MutableBytes room = sender.room();
      const auto wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(room.size(), k_step), snapshot_.size_bytes - done));
      const std::size_t n = pread_full(snapshot_.npz.get(), room.first(wanted), done, path_);
      sender.filled(n);
      progress.add(n);
      done += n;
      if (n < wanted) break;
    }
    SentSnapshot sent = check(subject_, *snapshot_.manifest, manifest_, sender.digests());
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

  std::optional<SentSnapshot> send(const BeginSender& begin) override {
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
  void start(const BeginSender& begin) {
    const bool known = parsed_ && parsed_->chunks;
    sender_ = &begin(known ? parsed_->chunks->chunk_bytes : chunk_bytes_for(0));
    progress_.emplace(reader_.name(), parsed_ ? parsed_->size_bytes : std::nullopt);
  }

  void copy_part() {
    while (reader_.part_bytes_left() > 0) {
      const MutableBytes room = sender_->room();
      const auto wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(room.size(), k_step), reader_.part_bytes_left()));
      const std::size_t n = reader_.part().read(room.first(wanted));
      if (n == 0) return;  // next() says why
      sender_->filled(n);
      progress_->add(n);
    }
  }

  void forget() {
    sender_ = nullptr;
    manifest_.reset();
    parsed_.reset();
    signature_.reset();
  }

  std::optional<SentSnapshot> end(const BeginSender& begin) {
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
    SentSnapshot sent =
        check(subject_ + ": " + reader_.name(), *manifest_, *parsed_, sender_->digests());
    sent.signature = signature_;
    return sent;
  }

  std::string subject_ = "standard input";
  std::optional<std::string> none_;
  FdSource source_;
  BundleReader reader_;
  PartSender* sender_ = nullptr;
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
