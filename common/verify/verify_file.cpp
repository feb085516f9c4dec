#include "verify/verify_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "base/log.hpp"
#include "base/processors.hpp"
#include "base/progress.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"
#include "bundle/bundle.hpp"
#include "hash/chunk_digests.hpp"
#include "hash/threaded_sha256.hpp"
#include "snapshot/members.hpp"
#include "snapshot/read_topology.hpp"
#include "snapshot/snapshot.hpp"
#include "verify/salvage.hpp"

namespace mad {
namespace {

constexpr std::size_t k_chunks_listed = 8;

/// Checks an archive that cannot be followed in passing on a thread of its own.
class SpareChecker {
 public:
  explicit SpareChecker(std::function<NpzMembers()> check) : check_(std::move(check)) {}
  ~SpareChecker() {
    if (thread_.joinable()) thread_.join();
  }
  SpareChecker(const SpareChecker&) = delete;
  SpareChecker& operator=(const SpareChecker&) = delete;

  void start() {
    if (thread_.joinable()) return;
    thread_ = try_thread([this] {
      try {
        members_ = check_();
      } catch (...) {
        failure_ = std::current_exception();
      }
    });
  }

  NpzMembers finish() {
    start();
    if (!thread_.joinable()) return check_();
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(members_);
  }

 private:
  std::function<NpzMembers()> check_;
  NpzMembers members_;
  std::exception_ptr failure_;
  std::thread thread_;
};

class FileVerifier {
 public:
  FileVerifier(const VerifyOptions& options, const std::string& path) : options_(options) {
    verdict_.path = path;
    verdict_.integrity_skipped = options.skip_integrity_check && !options.sha256;
  }

  Verdict run() {
    try {
      open();
      check_manifest_signature();
      check_schema();
      check_manifest_freshness();
      const bool by_chunks = may_go_by_chunks();
      if (!by_chunks || !read_by_chunks()) {
        read_data();
        was_read_ = true;
      }
      check_size();
      check_sha256();
      check_chunks();
      check_structure();
      check_topology();
      if (by_chunks && was_read_ && !verdict_.error) note(unsteady(subject_));
    } catch (const Error& error) {
      note(error);
    }
    if (was_read_) examine();
    return std::move(verdict_);
  }

 private:
  void note(const Error& error) {
    // What was found wrong in the bytes says more than that nothing vouches for them.
    const auto is = [&](const char* reason) { return verdict_.error->reason == reason; };
    const bool stronger = !verdict_.error ||
                          (is("manifest-missing") && error.code == ExitCode::refused) ||
                          (is("sha256-mismatch") && error.reason == "digests-contradict");
    if (stronger) verdict_.error = error;
  }

  /// Of the bytes, the archive or the manifest: it has a place to look for.
  void note_damage(const Error& error) {
    is_damaged_ = true;
    note(error);
  }

  /// Says where the damage is, and saves what is intact.
  void examine() {
    if (!is_damaged_ && !options_.salvage_dir) return;
    if (structure_error_ && structure_error_->reason == "too-large") {
      if (options_.salvage_dir) log_warning(subject_ + ": is too large to salvage anything of it");
      return;
    }
    Refusal refusal;
    refusal.npz = snapshot_.npz.get();
    refusal.size_bytes = digests_.size_bytes;
    refusal.subject = subject_;
    refusal.path = npz_path_;
    refusal.sha256 = digests_.sha256;
    refusal.manifest = manifest_ ? &*manifest_ : nullptr;
    refusal.manifest_path = snapshot_.manifest_path;
    refusal.trusted_sha256 = options_.sha256;
    refusal.structure_ok = !structure_error_;
    refusal.error = verdict_.error;
    refusal.max_bytes = npz_limits(options_).max_bytes;
    snapshot_.manifest.reset();
    try {
      if (members_) refusal.step = step_of(refusal.npz, *members_);
      members_.reset();
      Damage damage = find_damage(refusal);
      if (options_.salvage_dir) save(refusal, damage);
      if (is_damaged_) verdict_.damage = std::move(damage);
    } catch (const Error& error) {
      if (options_.salvage_dir) {
        verdict_.salvage_error = error;
      } else {
        log_error(error);
      }
    }
  }

  void save(const Refusal& refusal, const Damage& damage) {
    const Salvaged salvaged = salvage(refusal, damage, *options_.salvage_dir);
    log_note(printable(*options_.salvage_dir) + ": " + std::to_string(salvaged.proven) +
             " proven and " + std::to_string(salvaged.consistent) + " consistent of " +
             std::to_string(salvaged.proven + salvaged.consistent + salvaged.not_written) +
             " arrays; salvage.json lists all");
  }

  void add(Finding finding) { verdict_.findings.push_back(std::move(finding)); }
  void add_ok(const char* check, std::string detail) {
    add({check, CheckResult::ok, "", "", std::move(detail)});
  }
  void add_skipped(const char* check, std::string detail) {
    add({check, CheckResult::not_checked, "", "", std::move(detail)});
  }

  void open() {
    std::string path = verdict_.path;
    const std::string suffix(k_manifest_suffix);
    if (path.size() > suffix.size() &&
        path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0) {
      path.resize(path.size() - suffix.size());
    }
    npz_path_ = path;
    subject_ = printable(path);
    snapshot_ = open_snapshot(path, ManifestNeed::optional);
    verdict_.size_bytes = snapshot_.size_bytes;
    if (auto given = read_given_manifest(options_)) {
      snapshot_.manifest = std::move(given);
      snapshot_.manifest_path = *options_.manifest_path;
      snapshot_.signature = read_given_signature(options_);
      snapshot_.signature_path = given_signature_path(options_);
    }
    if (options_.max_bytes && snapshot_.size_bytes > *options_.max_bytes) {
      throw size_beyond_limit(subject_, *options_.max_bytes, snapshot_.size_bytes);
    }
    posix_fadvise(snapshot_.npz.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  void check_manifest_signature() {
    if (!options_.trust.wants_signature()) {
      if (snapshot_.signature) add_skipped("signature", "no --trusted-key");
      return;
    }
    if (!snapshot_.manifest) return add_skipped("signature", "no manifest");
    make_check("signature", [&] {
      return "by " + check_signature(options_.trust, *snapshot_.manifest, snapshot_.signature,
                                     printable(snapshot_.signature_path))
                         .subject;
    });
  }

  void check_manifest_freshness() {
    if (!options_.trust.wants_freshness()) return;
    if (!manifest_) return add_skipped("freshness", "no manifest");
    make_check("freshness", [&] {
      check_freshness(options_.trust, *manifest_, printable(snapshot_.manifest_path));
      return std::string();
    });
  }

  /// `check` returns what was found.
  void make_check(const char* name, const std::function<std::string()>& check) {
    try {
      add_ok(name, check());
    } catch (const Error& error) {
      add({name, CheckResult::bad, "", "", error.what()});
      note(error);
    }
  }

  void check_schema() {
    const std::string manifest_subject = printable(snapshot_.manifest_path);
    if (!snapshot_.manifest) {
      add_skipped("schema", "no manifest");
      if (!options_.sha256 && !options_.skip_integrity_check) note(manifest_missing(subject_));
      return;
    }
    if (options_.skip_integrity_check) return add_skipped("schema", "--skip-integrity-check");
    try {
      manifest_ = parse_manifest(*snapshot_.manifest, manifest_subject);
      add_ok("schema",
             "version " + std::to_string(manifest_->schema_version) + ", " + manifest_subject);
    } catch (const Error& error) {
      add({"schema", CheckResult::bad, "", "", error.what()});
      error.code == ExitCode::refused ? note_damage(error) : note(error);
    }
  }

  bool may_go_by_chunks() const {
    if (!options_.all_cores || options_.salvage_dir || !manifest_) return false;
    if (!manifest_->chunks) {
      log_note(subject_ + ": --all-cores: its manifest lists no chunks, so one processor hashes");
    }
    return manifest_->chunks.has_value();
  }

  /// False where anything is wrong: what, and where, then is for read_data to tell.
  bool read_by_chunks() {
    const Chunks& promised = *manifest_->chunks;
    if (manifest_->size_bytes && *manifest_->size_bytes != snapshot_.size_bytes) return false;
    SpareChecker spare([&] { return check_archive(); });
    spare.start();
    Progress progress(bundle_name(verdict_.path), snapshot_.size_bytes);
    const std::vector<Digest> found = digest_file_chunks(
        snapshot_.npz.get(), snapshot_.size_bytes, promised.chunk_bytes, usable_processors(),
        [&](std::uint64_t bytes) { progress.add(bytes); }, subject_);
    try {
      members_ = spare.finish();
    } catch (const Error& error) {
      if (error.code != ExitCode::refused) throw;
      return false;
    }
    if (found != promised.digests) return false;
    digests_.size_bytes = snapshot_.size_bytes;
    digests_.chunks.digests = found;
    return true;
  }

  /// Reads once: this thread checks the archive's CRCs, and another one hashes with its help.
  void read_data() {
    const int npz = snapshot_.npz.get();
    const bool has_chunks = manifest_ && manifest_->chunks;
    ThreadedSha256 hasher(has_chunks ? manifest_->chunks->chunk_bytes : 0, Producer::helps);
    NpzStreamAuditor auditor(npz_limits(options_), subject_);
    SpareChecker spare([&] { return check_archive(); });
    Progress progress(bundle_name(verdict_.path), snapshot_.size_bytes);
    for (std::uint64_t offset = 0;;) {
      const MutableBytes room = hasher.room();
      const std::size_t n = pread_full(npz, room, offset, subject_);
      if (n == 0) break;
      offset += n;
      hasher.filled(n);
      auditor.feed(room.first(n));
      if (!auditor.followable()) spare.start();
      progress.add(n);
    }
    hasher.finish();
    digests_ = {hasher.sha256(), hasher.size_bytes(), {0, hasher.chunks()}};
    verdict_.size_bytes = digests_.size_bytes;
    verdict_.sha256 = to_hex(digests_.sha256);
    try {
      members_ = auditor.followable() ? finish_following(auditor) : spare.finish();
    } catch (const Error& error) {
      if (error.code != ExitCode::refused) throw;
      structure_error_ = error;
    }
  }

  /// What passes by shows that an archive is wrong; only the whole of it shows which
  /// member is, and how.
  NpzMembers finish_following(NpzStreamAuditor& auditor) const {
    try {
      return auditor.finish();
    } catch (const Error& error) {
      if (error.code == ExitCode::refused) check_archive();
      throw;
    }
  }

  NpzMembers check_archive() const {
    auto members =
        audit_npz(snapshot_.npz.get(), snapshot_.size_bytes, npz_limits(options_), subject_);
    check_npz_data(snapshot_.npz.get(), members, subject_);
    return members;
  }

  void check_size() {
    const std::string found = std::to_string(digests_.size_bytes) + " bytes";
    if (!manifest_) return add_skipped("size", found);
    if (!manifest_->size_bytes) {
      log_warning(printable(snapshot_.manifest_path) +
                  ": gives no size_bytes; the digest alone decides");
      return add_skipped("size", found + "; the manifest gives none");
    }
    if (*manifest_->size_bytes == digests_.size_bytes) return add_ok("size", found);
    const Error error = size_mismatch(subject_, *manifest_->size_bytes, digests_.size_bytes);
    add({"size", CheckResult::bad, std::to_string(*manifest_->size_bytes) + " bytes", found,
         error.hint.substr(0, error.hint.find(';'))});
    note_damage(error);
  }

  void check_sha256() {
    if (!was_read_) return add_skipped("sha256", "--all-cores: its chunks were");
    if (!manifest_ && !options_.sha256) return add_skipped("sha256", *verdict_.sha256);
    const Digest& expected = options_.sha256 ? *options_.sha256 : manifest_->sha256;
    if (options_.sha256 && manifest_ && manifest_->sha256 != *options_.sha256) {
      log_warning(printable(snapshot_.manifest_path) + ": its sha256 is " +
                  to_hex(manifest_->sha256) + ", not the one given");
    }
    if (digests_.sha256 == expected) return add_ok("sha256", *verdict_.sha256);
    add({"sha256", CheckResult::bad, to_hex(expected), *verdict_.sha256, ""});
    Error error = sha256_mismatch(subject_, options_.sha256 ? "--sha256" : "manifest", expected,
                                  digests_.sha256);
    if (verdict_.error && verdict_.error->reason == "size-mismatch") {
      error.hint = verdict_.error->hint;
    }
    note_damage(error);
  }

  void check_chunks() {
    if (!manifest_ || !manifest_->chunks) return;
    const Chunks& promised = *manifest_->chunks;
    const std::uint64_t count = promised.digests.size();
    std::string detail;
    std::size_t wrong = 0;
    std::optional<Error> first;
    for (std::size_t i = 0; i < std::min<std::size_t>(count, digests_.chunks.digests.size()); ++i) {
      if (promised.digests[i] == digests_.chunks.digests[i]) continue;
      const std::uint64_t offset = i * promised.chunk_bytes;
      const std::uint64_t length = std::min(promised.chunk_bytes, digests_.size_bytes - offset);
      if (!first) {
        first = chunk_mismatch(subject_, i, offset, length, promised.digests[i],
                               digests_.chunks.digests[i]);
      }
      if (++wrong > k_chunks_listed) continue;
      detail += (detail.empty() ? "" : "\n") + std::string("chunk ") + std::to_string(i) +
                " differs: bytes " + std::to_string(offset) + " to " +
                std::to_string(offset + length);
    }
    if (wrong > k_chunks_listed) {
      detail += "\nand " + std::to_string(wrong - k_chunks_listed) + " more";
    }
    if (count != digests_.chunks.digests.size()) {
      if (!first) first = chunk_count_mismatch(subject_, count, digests_.chunks.digests.size());
      detail += (detail.empty() ? "" : "\n") + std::string("expected ") + std::to_string(count) +
                " chunks, found " + std::to_string(digests_.chunks.digests.size());
    }
    const bool right_sha256 = manifest_->sha256 == digests_.sha256;
    if (options_.sha256 || !was_read_) {
      // The one that is trusted has decided, or the whole's was not made.
    } else if (!first && !right_sha256) {
      first = digests_contradict(subject_, whole_is_not(manifest_->sha256, digests_.sha256));
      detail = "every digest is right, and yet sha256 is not";
    } else if (first && right_sha256) {
      first =
          digests_contradict(subject_, "the whole is right and not every chunk\n" + first->message);
    }
    if (!first) {
      return add_ok("chunks", std::to_string(count) + " of " + format_size(promised.chunk_bytes));
    }
    add({"chunks", CheckResult::bad, "", "", detail});
    note_damage(*first);
  }

  void check_structure() {
    if (structure_error_) {
      add({"structure", CheckResult::bad, "", "", structure_error_->what()});
      return note_damage(*structure_error_);
    }
    std::uint64_t unpacked = 0;
    for (const NpzMember& member : *members_) unpacked += member.size_bytes;
    verdict_.arrays = members_->size();
    add_ok("structure", std::to_string(members_->size()) +
                            (members_->size() == 1 ? " array, " : " arrays, ") +
                            format_size(unpacked) + ", every CRC-32 right");
    check_members();
  }

  void check_members() {
    if (!manifest_ || !manifest_->members) return;
    try {
      require_same_members(*manifest_->members, *members_, subject_);
      add_ok("members", "as the manifest lists them");
    } catch (const Error& error) {
      add({"members", CheckResult::bad, "", "", error.what()});
      note_damage(error);
    }
  }

  void check_topology() {
    if (!options_.expected) return;
    if (structure_error_) return add_skipped("topology", "the archive cannot be read");
    try {
      require_same_topology(*options_.expected, topology_of(*members_), subject_);
      add_ok("topology", "as in " + printable(*options_.expect_path));
    } catch (const Error& error) {
      add({"topology", CheckResult::bad, "", "", error.message});
      note(error);
    }
  }

  const VerifyOptions& options_;
  Verdict verdict_;
  std::string npz_path_;
  std::string subject_;
  bool was_read_ = false;
  bool is_damaged_ = false;
  OpenSnapshot snapshot_;
  std::optional<Manifest> manifest_;
  FileDigests digests_;
  std::optional<NpzMembers> members_;
  std::optional<Error> structure_error_;
};

void say(const Verdict& verdict, const VerifyOptions& options) {
  write_full(STDOUT_FILENO,
             as_bytes(options.json ? format_verdict_json(verdict) : format_verdict(verdict)),
             "standard output");
  if (verdict.error) log_error(*verdict.error);
  if (verdict.salvage_error) log_error(*verdict.salvage_error);
}

}  // namespace

Verdict verify_file(const VerifyOptions& options, const std::string& path) {
  return FileVerifier(options, path).run();
}

ExitCode verify_files(const VerifyOptions& given, const std::vector<std::string>& paths,
                      Report& report) {
  VerifyOptions options = given;
  options.trust.read_keys();
  options.confine();
  if (options.expect_path) options.expected = read_topology(*options.expect_path);
  if (options.skip_integrity_check) {
    log_warning("--skip-integrity-check: nothing says that these bytes are the right ones");
  }
  if (options.salvage_dir) check_salvage_directory(*options.salvage_dir);
  auto lowest = ExitCode::ok;
  std::string verdicts;
  for (const std::string& path : paths) {
    const Verdict verdict = verify_file(options, path);
    say(verdict, options);
    std::string json = format_verdict_json(verdict);
    json.pop_back();
    verdicts += (verdicts.empty() ? "" : ",") + json;
    const auto& error = verdict.error ? verdict.error : verdict.salvage_error;
    if (error && (lowest == ExitCode::ok || error->code < lowest)) {
      lowest = error->code;
      report.set_reason(error->reason);
      report.set("subject", error->subject);
      report.set("message", error->message);
    }
  }
  report.set_json("files", "[" + verdicts + "]");
  return lowest;
}

}  // namespace mad
