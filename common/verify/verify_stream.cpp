#include "verify/verify_stream.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/processors.hpp"
#include "base/text.hpp"
#include "bundle/bundle_reader.hpp"
#include "bundle/bundle_writer.hpp"
#include "hash/chunk_digests.hpp"
#include "manifest/topology.hpp"
#include "snapshot/members.hpp"
#include "snapshot/read_topology.hpp"
#include "snapshot/snapshot.hpp"
#include "verify/held_back.hpp"
#include "verify/relay.hpp"

namespace mad {
namespace {

constexpr std::string_view k_tool = "mad-verify";
/// Who is named when nothing, or only a part, came from the stage before.
constexpr std::string_view k_stage_before = "mad-fetch";

/// What is read and hashed at a time, so that the hash finds it in cache.
constexpr std::size_t k_hashed_bytes = std::size_t{256} << 10U;
/// Of buffers, where chunks are digested by all processors.
constexpr std::size_t k_most_buffered_bytes = std::size_t{48} << 20U;
/// What a job checks and writes at a time, likewise.
constexpr std::size_t k_slice_bytes = std::size_t{512} << 10U;

enum class Flow {
  undecided,  ///< neither manifest nor data came yet
  chunks,     ///< each buffer goes on once its chunks are right
  spool,      ///< nothing goes on before everything is right
  at_once,    ///< --stream
};

class StreamVerifier {
 public:
  StreamVerifier(const VerifyOptions& options, Source& source, int output, Report& report)
      : options_(options),
        reader_(source, options.unsealed ? SealNeed::unsealed : SealNeed::sealed, "standard input"),
        output_(output),
        report_(report) {}

  ExitCode run();

 private:
  ExitCode filter();
  void fail(const Error& error);

  void take_manifest(const std::string& bytes);
  void use_manifest();
  void parse(const std::string& path);
  void note_signature(const std::string& manifest, const std::optional<std::string>& signature,
                      const std::string& path);
  void note_freshness(const std::string& manifest_path);
  void take_signature(const std::string& bytes);
  void take_part(Source& part);
  void begin_again();
  ExitCode take_seal(const Seal& seal);

  void begin(Flow flow);
  void begin_data();
  void check_length_so_far() const;
  void post_filled();
  void check_complete_chunks();
  void check_all_chunks();
  std::function<void()> chunk_check(Bytes bytes);
  void check_chunk(std::size_t index, const Digest& found, std::uint64_t length) const;
  void check_chunk_count(std::uint64_t found) const;

  void finish_hashes();
  void check_whole();
  NpzMembers check_structure();
  void release_spool();
  Seal make_seal() const;

  BundleWriter& writer();
  std::string subject() const { return reader_.name().empty() ? "standard input" : reader_.name(); }
  bool uses_manifest() const { return !options_.skip_integrity_check; }
  bool wants_digests() const { return uses_manifest() || options_.sha256; }

  VerifyOptions options_;
  BundleReader reader_;
  int output_;
  Report& report_;
  std::unique_ptr<BundleWriter> writer_;
  std::optional<Topology> expected_;
  std::optional<std::string> given_manifest_;
  std::optional<std::string> given_signature_;
  std::optional<HeldBack> held_back_;

  // Of this beginning of the stream; made new after a restart.
  struct Attempt {
    Flow flow = Flow::undecided;
    bool emitted = false;
    std::optional<std::string> manifest_text;
    std::optional<std::string> signature;
    /// It came behind data, all of which must be right before it goes on.
    bool signature_last = false;
    std::optional<Manifest> manifest;
    std::unique_ptr<ChunkedSha256> chunk_hash;
    Sha256 hash;
    Digest sha256{};
    std::size_t chunks_checked = 0;
    /// --all-cores: which chunk the buffer begins with.
    std::size_t chunks_posted = 0;
    std::size_t filled = 0;
    std::uint64_t size_bytes = 0;
    std::unique_ptr<NpzStreamAuditor> auditor;
    std::vector<std::string> checked;
    /// The key of a signature that was checked.
    std::optional<std::string> signed_by;
  };
  Attempt now_;
  // Last, so that its thread ends before what its jobs use.
  std::unique_ptr<Relay> relay_;
  // And its threads before the buffers that they read.
  std::unique_ptr<ChunkDigester> digester_;
};

ExitCode StreamVerifier::run() {
  try {
    try {
      return filter();
    } catch (const Error& error) {
      const bool from_before =
          error.code == ExitCode::incomplete && error.reason != "bundle-invalid";
      if (!from_before) throw;
      throw Error(error.code, error.reason, std::string(k_stage_before), error.message);
    }
  } catch (const DeadlinePassed&) {
    const PastDeadline last_words;
    fail(deadline_error());
    throw;
  } catch (const Error& error) {
    fail(error);
    throw;
  } catch (const std::bad_alloc&) {
    fail({ExitCode::io, "no-memory", "memory", "the system gives no more of it"});
    throw;
  } catch (const std::exception& error) {
    fail({ExitCode::bug, "bug", "internal error", error.what()});
    throw;
  }
}

void StreamVerifier::fail(const Error& error) {
  try {
    if (relay_) relay_->drain();
  } catch (const DeadlinePassed&) {
    // It met what is written, too; then there will be no seal.
  } catch (const Error&) {
    // The first failure is the one to tell.
  }
  Seal seal = failed_seal(k_tool, error);
  if (error.subject == k_stage_before) {
    seal.tool = k_stage_before;
    seal.message = error.message;
  }
  try {
    writer().seal(seal);
  } catch (const Error& second) {
    log_error(second);
  }
}

ExitCode StreamVerifier::filter() {
  using Kind = BundleReader::Kind;
  options_.trust.read_keys();
  if (options_.expect_path) expected_ = read_topology(*options_.expect_path);
  given_manifest_ = read_given_manifest(options_);
  given_signature_ = read_given_signature(options_);
  held_back_.emplace(options_.spool_dir);
  options_.confine();
  for (;;) {
    switch (reader_.next()) {
      case Kind::manifest:
        take_manifest(reader_.text());
        break;
      case Kind::signature:
        take_signature(reader_.text());
        break;
      case Kind::data:
        take_part(reader_.part());
        break;
      case Kind::restart:
        begin_again();
        break;
      case Kind::seal:
        return take_seal(reader_.seal());
    }
  }
}

BundleWriter& StreamVerifier::writer() {
  if (!writer_) {
    writer_ = std::make_unique<BundleWriter>(
        output_, reader_.name().empty() ? bundle_name("") : reader_.name());
  }
  return *writer_;
}

void StreamVerifier::begin(Flow flow) {
  now_.flow = flow;
  if (flow == Flow::spool) held_back_->begin();
  std::size_t buffer_bytes = std::size_t{1} << 20U;
  std::size_t buffers = 4;
  const bool all_cores = options_.all_cores && flow == Flow::chunks;
  if (flow == Flow::chunks) {
    // Whole chunks to a buffer, and no more memory than two of the largest.
    const auto chunk_bytes = static_cast<std::size_t>(now_.manifest->chunks->chunk_bytes);
    constexpr std::size_t k_usual = std::size_t{4} << 20U;
    buffer_bytes = chunk_bytes * std::max<std::size_t>(1, k_usual / chunk_bytes);
    buffers = buffer_bytes <= k_usual ? 3 : 2;
    if (all_cores) {
      buffers =
          std::min<std::size_t>(2 + usable_processors(), k_most_buffered_bytes / buffer_bytes);
      digester_ = std::make_unique<ChunkDigester>(chunk_bytes, usable_processors());
    }
  }
  if (now_.manifest && now_.manifest->chunks && !all_cores) {
    now_.chunk_hash = std::make_unique<ChunkedSha256>(now_.manifest->chunks->chunk_bytes);
  }
  now_.auditor = std::make_unique<NpzStreamAuditor>(npz_limits(options_), subject());
  writer();
  relay_ = std::make_unique<Relay>(buffer_bytes, buffers);
}

void StreamVerifier::take_manifest(const std::string& bytes) {
  if (given_manifest_) {
    log_verbose(subject() + ": the manifest in the bundle is passed over for the given one");
    if (now_.flow == Flow::undecided) begin_data();
    return;
  }
  now_.manifest_text = bytes;
  // Where a signature is asked for, nothing is made of the manifest before that is right.
  if (!options_.trust.wants_signature()) use_manifest();
}

void StreamVerifier::use_manifest() {
  if (uses_manifest()) parse(subject() + std::string(k_manifest_suffix));
  if (now_.flow == Flow::undecided) {
    begin_data();
  } else if (now_.flow == Flow::at_once && now_.manifest_text) {
    post_filled();
    relay_->post([this, text = *now_.manifest_text] { writer_->manifest(text); });
  }
  check_length_so_far();
}

/// One that is not of the npz that --sha256 tells is of no use, and does not go on with it.
void StreamVerifier::parse(const std::string& path) {
  Manifest manifest = parse_manifest(*now_.manifest_text, path);
  now_.checked.emplace_back("schema");
  if (options_.sha256 && manifest.sha256 != *options_.sha256) {
    if (options_.trust.wants_freshness()) {
      throw sha256_mismatch(path, "--sha256", *options_.sha256, manifest.sha256);
    }
    log_warning(path + ": its sha256 is " + to_hex(manifest.sha256) +
                ", not the one given; it is not passed on");
    now_.manifest_text.reset();
    now_.signature.reset();
    return;
  }
  now_.manifest = std::move(manifest);
  note_freshness(path);
}

void StreamVerifier::take_signature(const std::string& bytes) {
  // It belongs to the bundle's own manifest.
  if (given_manifest_ || !now_.manifest_text) return;
  if (options_.trust.wants_signature()) {
    note_signature(*now_.manifest_text, bytes, subject() + std::string(k_signature_suffix));
    use_manifest();
  }
  now_.signature = bytes;
  if (!now_.emitted) return;
  now_.signature_last = now_.size_bytes > 0;
  if (!now_.signature_last) relay_->post([this, text = bytes] { writer_->signature(text); });
}

void StreamVerifier::note_signature(const std::string& manifest,
                                    const std::optional<std::string>& signature,
                                    const std::string& path) {
  const PublicKey& key = check_signature(options_.trust, manifest, signature, path);
  now_.checked.emplace_back("signature");
  now_.signed_by = key.subject;
  log_verbose(path + ": by " + key.subject);
}

void StreamVerifier::note_freshness(const std::string& manifest_path) {
  if (!options_.trust.wants_freshness()) return;
  check_freshness(options_.trust, *now_.manifest, manifest_path);
  now_.checked.emplace_back("freshness");
}

/// Decides the flow, at the first usable manifest or data, whichever comes first.
void StreamVerifier::begin_data() {
  if (given_manifest_) {
    now_.manifest_text = given_manifest_;
    now_.signature = given_signature_;
    if (options_.trust.wants_signature()) {
      note_signature(*given_manifest_, given_signature_, given_signature_path(options_));
    }
    if (uses_manifest()) parse(*options_.manifest_path);
  }
  const bool awaits_signature = options_.trust.wants_signature() && !now_.signed_by;
  // A signature stands right behind its manifest, but for a pair tarred by hand.
  if (awaits_signature && now_.manifest_text && !options_.unsealed) {
    throw signature_missing(subject());
  }
  // A topology can only be told from the whole where the layout is not ours.
  const bool needs_whole = expected_ && !options_.stream;
  const bool usable = now_.manifest && !options_.sha256 && !needs_whole && now_.manifest->chunks;
  if (options_.all_cores && !usable) {
    log_note(subject() + ": --all-cores: cannot go by chunks here, so one processor hashes");
  }
  begin(usable ? Flow::chunks : options_.stream && !awaits_signature ? Flow::at_once : Flow::spool);
  now_.emitted = now_.flow != Flow::spool;
  if (now_.emitted && now_.manifest_text) {
    relay_->post([this, text = *now_.manifest_text] { writer_->manifest(text); });
    if (now_.signature) {
      relay_->post([this, text = *now_.signature] { writer_->signature(text); });
    }
  }
}

void StreamVerifier::check_length_so_far() const {
  if (options_.max_bytes && now_.size_bytes > *options_.max_bytes) {
    throw size_beyond_limit(subject(), *options_.max_bytes);
  }
  if (now_.manifest && now_.manifest->size_bytes && now_.size_bytes > *now_.manifest->size_bytes) {
    throw size_exceeded(subject(), *now_.manifest->size_bytes);
  }
}

void StreamVerifier::take_part(Source& part) {
  if (now_.flow == Flow::undecided) begin_data();
  for (;;) {
    const MutableBytes free = relay_->buffer().subspan(now_.filled);
    const MutableBytes room = free.first(std::min(free.size(), k_hashed_bytes));
    const std::size_t n = part.read(room);
    if (n == 0) return;
    now_.size_bytes += n;
    check_length_so_far();
    // Just copied, so it is hot in cache.
    if (digester_) {
      // The whole chunk is somebody else's.
    } else if (now_.chunk_hash) {
      now_.chunk_hash->update(room.first(n));
    } else {
      now_.hash.update(room.first(n));
    }
    now_.filled += n;
    if (now_.filled == relay_->buffer_bytes()) post_filled();
  }
}

void StreamVerifier::check_chunk(std::size_t index, const Digest& found,
                                 std::uint64_t length) const {
  const Chunks& promised = *now_.manifest->chunks;
  if (index >= promised.digests.size()) {
    throw Error(ExitCode::refused, "chunk-mismatch", subject(),
                "the manifest lists " + std::to_string(promised.digests.size()) +
                    " chunks, but more bytes came");
  }
  if (found == promised.digests[index]) return;
  throw chunk_mismatch(subject(), index, index * promised.chunk_bytes, length,
                       promised.digests[index], found);
}

void StreamVerifier::check_complete_chunks() {
  const std::uint64_t chunk_bytes = now_.manifest->chunks->chunk_bytes;
  const std::vector<Digest>& found = now_.chunk_hash->chunks();
  for (std::size_t& i = now_.chunks_checked; i < found.size(); ++i) {
    check_chunk(i, found[i], std::min(chunk_bytes, now_.size_bytes - i * chunk_bytes));
  }
}

/// Lets go of what is in the buffer.
void StreamVerifier::post_filled() {
  if (now_.filled == 0) return;
  std::function<void()> check = [] {};
  if (digester_) {
    check = chunk_check(relay_->buffer().first(now_.filled));
  } else if (now_.flow == Flow::chunks) {
    check_complete_chunks();
  }
  relay_->post_buffer(std::exchange(now_.filled, 0), [this, check](Bytes bytes) {
    check();
    while (!bytes.empty()) {
      const Bytes slice = bytes.first(std::min(bytes.size(), k_slice_bytes));
      now_.auditor->feed(slice);
      if (now_.flow == Flow::spool) {
        held_back_->write(slice);
      } else {
        writer_->write(slice);
      }
      bytes = bytes.subspan(slice.size());
    }
  });
}

/// Has the buffer's chunks digested, and gives the check that waits for that.
std::function<void()> StreamVerifier::chunk_check(Bytes bytes) {
  const std::uint64_t chunk_bytes = now_.manifest->chunks->chunk_bytes;
  const std::size_t first = now_.chunks_posted;
  const std::size_t count = (bytes.size() + chunk_bytes - 1) / chunk_bytes;
  now_.chunks_posted += count;
  return [this, first, length = bytes.size(), chunk_bytes, digests = digester_->digest(bytes)] {
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < digests.get().size(); ++i, offset += chunk_bytes) {
      check_chunk(first + i, digests.get()[i], std::min(chunk_bytes, length - offset));
    }
  };
}

void StreamVerifier::begin_again() {
  log_verbose(subject() + ": the stream begins again; everything before is void");
  if (relay_) relay_->drain();
  digester_.reset();
  relay_.reset();
  const bool emitted = now_.emitted;
  now_ = Attempt();
  if (emitted) writer().restart();
}

void StreamVerifier::finish_hashes() {
  if (digester_) {
    // Not made; the seal names the manifest's.
    now_.sha256 = now_.manifest->sha256;
    return;
  }
  now_.sha256 = now_.chunk_hash ? now_.chunk_hash->finish() : now_.hash.finish();
}

void StreamVerifier::check_chunk_count(std::uint64_t found) const {
  const std::uint64_t promised = now_.manifest->chunks->digests.size();
  if (promised != found) throw chunk_count_mismatch(subject(), promised, found);
}

/// Once the whole's digest is known, which a chunk that is wrong may contradict.
void StreamVerifier::check_all_chunks() {
  const bool right_sha256 = !options_.sha256 && now_.sha256 == now_.manifest->sha256;
  try {
    check_complete_chunks();
    check_chunk_count(now_.chunks_checked);
  } catch (const Error& error) {
    if (!right_sha256) throw;
    throw digests_contradict(subject(), "the whole is right and not every chunk\n" + error.message);
  }
  if (!options_.sha256 && !right_sha256) {
    throw digests_contradict(subject(), whole_is_not(now_.manifest->sha256, now_.sha256));
  }
}

/// The checks in the reference's order; the structure comes after them.
void StreamVerifier::check_whole() {
  if (!wants_digests()) return;
  if (!now_.manifest_text && !options_.sha256) throw manifest_missing(subject());
  if (options_.trust.wants_signature() && !now_.signed_by) {
    throw signature_missing(subject());
  }
  if (options_.trust.wants_freshness() && !now_.manifest) throw manifest_missing(subject());
  if (now_.manifest) {
    if (!now_.manifest->size_bytes) {
      log_warning(subject() + ": the manifest gives no size_bytes; the digest alone decides");
    } else {
      if (now_.size_bytes != *now_.manifest->size_bytes) {
        throw size_mismatch(subject(), *now_.manifest->size_bytes, now_.size_bytes);
      }
      now_.checked.emplace_back("size");
    }
  }
  if (digester_) {
    // Each one's digest decides before its bytes go on.
    const std::uint64_t chunk_bytes = now_.manifest->chunks->chunk_bytes;
    check_chunk_count((now_.size_bytes + chunk_bytes - 1) / chunk_bytes);
    now_.checked.emplace_back("chunks");
    return;
  }
  if (now_.chunk_hash) {
    check_all_chunks();
    now_.checked.emplace_back("chunks");
  }
  const Digest& expected = options_.sha256 ? *options_.sha256 : now_.manifest->sha256;
  if (now_.sha256 != expected) {
    throw sha256_mismatch(subject(), options_.sha256 ? "--sha256" : "manifest", expected,
                          now_.sha256);
  }
  now_.checked.emplace_back("sha256");
}

NpzMembers StreamVerifier::check_structure() {
  NpzMembers members;
  if (now_.auditor->followable()) {
    members = now_.auditor->finish();
  } else if (now_.flow == Flow::spool) {
    const int spool = held_back_->fd();
    members = audit_npz(spool, now_.size_bytes, npz_limits(options_), subject());
    check_npz_data(spool, members, subject());
  } else {
    if (expected_) {
      throw Error(ExitCode::usage, "usage", subject(),
                  "--expect cannot be checked in passing: the layout of this npz needs the whole "
                  "file at once",
                  "without --stream it can be");
    }
    log_verbose(subject() + ": the structure cannot be checked in passing; left to mad-resume");
    return members;
  }
  now_.checked.emplace_back("structure");
  if (now_.manifest && now_.manifest->members) {
    require_same_members(*now_.manifest->members, members, subject());
    now_.checked.emplace_back("members");
  }
  if (expected_) {
    require_same_topology(*expected_, topology_of(members), subject());
    now_.checked.emplace_back("topology");
  }
  report_.set("arrays", static_cast<std::uint64_t>(members.size()));
  return members;
}

/// Everything was right: what was held back goes on.
void StreamVerifier::release_spool() {
  if (now_.manifest_text) writer().manifest(*now_.manifest_text);
  if (now_.signature) writer().signature(*now_.signature);
  held_back_->release(now_.size_bytes, writer());
}

Seal StreamVerifier::make_seal() const {
  Seal seal;
  seal.stage = wants_digests() ? Stage::verified : Stage::unverified;
  seal.tool = k_tool;
  seal.size_bytes = now_.size_bytes;
  seal.sha256 = to_hex(now_.sha256);
  seal.checked = now_.checked;
  return seal;
}

ExitCode StreamVerifier::take_seal(const Seal& seal) {
  report_.set("stage", name_of(seal.stage));
  if (!has_npz(seal.stage)) {
    if (relay_) relay_->drain();
    writer().seal(seal);
    report_.set("message", seal.message);
    if (seal.stage == Stage::absent) {
      log_verbose("nothing to verify: " + seal.message);
      return ExitCode::ok;
    }
    report_.set_reason(seal.reason);
    report_.set("failed_tool", seal.tool);
    log_note("passing on the failure of " + seal.tool + ": " + seal.message);
    return seal.code;
  }
  if (now_.flow == Flow::undecided) begin_data();
  finish_hashes();
  const bool whole_first = now_.flow != Flow::at_once;
  if (whole_first) check_whole();
  post_filled();
  relay_->drain();
  if (!whole_first) check_whole();
  check_structure();
  if (now_.flow == Flow::spool) release_spool();
  if (now_.signature_last) writer().signature(*now_.signature);
  const Seal own = make_seal();
  writer().seal(own);
  report_.set("name", subject());
  report_.set("stage", name_of(own.stage));
  report_.set("sha256", own.sha256);
  report_.set("size_bytes", now_.size_bytes);
  if (now_.signed_by) report_.set("signed_by", *now_.signed_by);
  std::string list;
  for (const std::string& check : own.checked)
    list += (list.empty() ? "" : ",") + json_quote(check);
  report_.set_json("checked", "[" + list + "]");
  log_verbose(subject() + ": " + std::string(name_of(own.stage)) + ", " +
              format_size(now_.size_bytes));
  return ExitCode::ok;
}

}  // namespace

ExitCode verify_stream(const VerifyOptions& options, Source& source, int output, Report& report) {
  if (options.skip_integrity_check && !options.sha256) {
    log_warning("--skip-integrity-check: nothing says that these bytes are the right ones");
  }
  return StreamVerifier(options, source, output, report).run();
}

}  // namespace mad
