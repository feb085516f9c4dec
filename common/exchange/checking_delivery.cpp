#include "exchange/checking_delivery.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/log.hpp"
#include "hash/threaded_sha256.hpp"
#include "manifest/manifest.hpp"
#include "npz/npz_auditor.hpp"
#include "snapshot/members.hpp"
#include "verify/checks.hpp"

namespace mad {
namespace {

class CheckingDelivery final : public Delivery {
 public:
  explicit CheckingDelivery(SourceNames source) : source_(std::move(source)) {}

  void begin(const PairTexts& texts) override {
    if (!texts.manifest) throw manifest_missing(source_.npz);
    manifest_ = parse_manifest(*texts.manifest, source_.manifest);
    hash_ = std::make_unique<ThreadedSha256>(manifest_->chunks ? manifest_->chunks->chunk_bytes : 0,
                                             Producer::helps);
    auditor_.emplace(NpzLimits{}, source_.npz);
  }
  void write(Bytes bytes) override {
    auditor_->feed(bytes);
    while (!bytes.empty()) {
      const MutableBytes room = hash_->room();
      const std::size_t n = std::min(room.size(), bytes.size());
      std::memcpy(room.data(), bytes.data(), n);
      hash_->filled(n);
      bytes = bytes.subspan(n);
    }
  }
  void restart() override {
    hash_.reset();
    auditor_.reset();
  }
  void finish() override {
    hash_->finish();
    check_bytes();
    if (!auditor_->followable()) {
      log_verbose(source_.npz +
                  ": its structure cannot be checked in passing; the SHA-256 is right");
      return;
    }
    const NpzMembers members = auditor_->finish();
    if (manifest_->members) require_same_members(*manifest_->members, members, source_.npz);
  }
  void absent(const std::string&, const std::string&) override {}
  void failed(const Error&) override {}

 private:
  void check_bytes() const {
    if (manifest_->size_bytes && *manifest_->size_bytes != hash_->size_bytes()) {
      throw size_mismatch(source_.npz, *manifest_->size_bytes, hash_->size_bytes());
    }
    if (manifest_->sha256 != hash_->sha256()) {
      throw sha256_mismatch(source_.npz, "manifest", manifest_->sha256, hash_->sha256());
    }
    if (manifest_->chunks && manifest_->chunks->digests != hash_->chunks()) {
      throw digests_contradict(source_.npz, "the whole is right and not every chunk");
    }
  }

  SourceNames source_;
  std::optional<Manifest> manifest_;
  std::unique_ptr<ThreadedSha256> hash_;
  std::optional<NpzStreamAuditor> auditor_;
};

}  // namespace

std::unique_ptr<Delivery> deliver_to_check(const SourceNames& source) {
  return std::make_unique<CheckingDelivery>(source);
}

}  // namespace mad
