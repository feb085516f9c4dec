#include "resume/resume.hpp"

#include <algorithm>
#include <memory>
#include <new>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "bundle/bundle_reader.hpp"
#include "npz/npz_auditor.hpp"
#include "resume/paths.hpp"
#include "resume/staging.hpp"
#include "resume/swap.hpp"
#include "snapshot/read_topology.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

/// An error, and which tool of the pipe it is put down to.
struct StageError {
  std::string stage;
  Error error;
};

[[noreturn]] void usage(const std::string& message) {
  throw Error(ExitCode::usage, "usage", "usage", message);
}

class Resume {
 public:
  Resume(const ResumeOptions& options, Source& bundle)
      : options_(options),
        reader_(bundle, SealNeed::sealed, "standard input"),
        publish_{options.durability, std::nullopt, options.lock_timeout_ms} {}

  void recover() {
    // However late: a command must not start on a state that is half of another.
    const PastDeadline settling;
    if (options_.snapshot || !options_.state) remove_dead_staging(options_.snapshot, publish_);
    if (!options_.state) return;
    const SwapOptions swap = {options_.durability, options_.lock_timeout_ms};
    swap_ = std::make_unique<StateSwap>(*options_.state, swap);
  }

  Outcome run() {
    const Seal& seal = stage();
    if (seal.stage == Stage::absent || seal.stage == Stage::failed) return outcome_of(seal);
    require_verified(seal);
    if (!staging_) begin();
    check_and_unpack(seal);
    return deliver(seal);
  }

 private:
  /// Lazily, so that a bundle with nothing in it touches nothing.
  void begin() {
    if (swap_) swap_->prepare();
    if (options_.snapshot) {
      staging_ = stage_for_path(*options_.snapshot, publish_);
    } else if (swap_) {
      staging_ = stage_unnamed(swap_->scratch_path());
    } else {
      staging_ = stage_in_fresh_directory(reader_.name(), publish_);
    }
  }

  /// A stream that ends too early is put down to the stage before.
  template <class Step>
  static auto read_stream(const Step& step) {
    try {
      return step();
    } catch (const Error& error) {
      if (error.code != ExitCode::incomplete) throw;
      throw StageError{"mad-verify", error};
    }
  }

  const Seal& stage() {
    for (;;) {
      switch (read_stream([&] { return reader_.next(); })) {
        case BundleReader::Kind::manifest:
          manifest_ = reader_.text();
          break;
        case BundleReader::Kind::signature:
          signature_ = reader_.text();
          break;
        case BundleReader::Kind::data:
          if (!staging_) begin();
          if (reader_.npz_bytes() + reader_.part_bytes_left() > options_.max_bytes) {
            throw too_large();
          }
          read_stream([&] { staging_->append(reader_.part()); });
          break;
        case BundleReader::Kind::restart:
          manifest_.reset();
          signature_.reset();
          if (staging_) staging_->restart();
          break;
        case BundleReader::Kind::seal:
          return reader_.seal();
      }
    }
  }

  Error too_large() const {
    return {ExitCode::refused, "too-large", reader_.name(),
            "expected at most " + std::to_string(options_.max_bytes) +
                " bytes (--max-size), found more"};
  }

  void require_verified(const Seal& seal) const {
    const bool unverified = seal.stage == Stage::unverified;
    if (seal.stage == Stage::verified || (unverified && options_.accept_unverified)) return;
    const std::string found =
        "expected a bundle sealed 'verified', found '" + std::string(name_of(seal.stage)) + "'";
    throw StageError{
        "mad-verify",
        {ExitCode::incomplete, "stage-missing", "",
         found + (unverified ? ": its check was skipped" : ": mad-verify is missing from the line"),
         unverified ? "--skip-integrity-check takes it as it is"
                    : "put mad-verify between " + seal.tool + " and mad-resume"}};
  }

  void check_and_unpack(const Seal& seal) {
    const std::string& name = reader_.name();
    const int npz = staging_->fd();
    NpzLimits limits;
    limits.max_bytes = options_.max_bytes;
    members_ = audit_npz(npz, reader_.npz_bytes(), limits, name);
    const auto& checked = seal.checked;
    if (std::find(checked.begin(), checked.end(), "structure") == checked.end()) {
      check_npz_data(npz, members_, name);
    }
    if (options_.expect) {
      require_same_topology(read_topology(*options_.expect), topology_of(members_), name);
    } else if (swap_) {
      swap_->require_present_topology(topology_of(members_), name);
    }
    if (swap_) {
      swap_->unpack(
          npz, members_,
          options_.snapshot ? AfterUnpacking::archive_kept : AfterUnpacking::archive_spent, name);
    }
  }

  Outcome deliver(const Seal& seal) {
    Outcome outcome;
    outcome.status = ResumeStatus::resumed;
    outcome.stage = tool_name();
    outcome.reason = "resumed";
    outcome.unverified = seal.stage == Stage::unverified;
    outcome.sha256 = seal.sha256;
    outcome.size_bytes = reader_.npz_bytes();
    outcome.arrays = members_.size();
    outcome.message = printable(reader_.name()) + ": " +
                      (outcome.unverified ? "not verified" : "SHA-256 " + seal.sha256);
    outcome.snapshot = staging_->publish(manifest_, signature_);
    if (swap_) {
      try {
        const PastDeadline settling;  // what is half delivered is delivered
        swap_->commit();
      } catch (const Error&) {
        if (!outcome.snapshot.empty()) {
          log_note("the new snapshot at " + printable(outcome.snapshot) +
                   " is whole; only the state could not be replaced");
        }
        throw;
      }
      outcome.state = swap_->path();
      outcome.swap = name_of(swap_->method());
    }
    return outcome;
  }

  const ResumeOptions& options_;
  BundleReader reader_;
  PublishOptions publish_;
  std::unique_ptr<StateSwap> swap_;
  std::unique_ptr<NpzStaging> staging_;
  std::optional<std::string> manifest_;
  std::optional<std::string> signature_;
  NpzMembers members_;
};

}  // namespace

void check_places(const ResumeOptions& options) {
  if (options.snapshot && options.snapshot->empty()) usage("--snapshot: expected a path");
  if (options.state && options.state->empty()) usage("--state-dir: expected a path");
  if (!options.snapshot || !options.state) return;
  const auto above = real_path(split_path(*options.snapshot).directory);
  const auto state = real_path(*options.state);
  if (above && state && is_at_or_under(*above, *state)) {
    usage("--snapshot: expected a path outside the state directory, found " +
          printable(*options.snapshot));
  }
}

Outcome resume(const ResumeOptions& options, Source& bundle, const std::optional<Error>& obstacle) {
  try {
    Resume work(options, bundle);
    work.recover();
    if (obstacle) return failed_outcome(tool_name(), *obstacle);
    return work.run();
  } catch (const DeadlinePassed&) {
    return failed_outcome(tool_name(), deadline_error());
  } catch (const StageError& failure) {
    return failed_outcome(failure.stage, failure.error);
  } catch (const Error& error) {
    return failed_outcome(tool_name(), error);
  } catch (const std::bad_alloc&) {
    return failed_outcome(tool_name(),
                          {ExitCode::io, "no-memory", "memory", "the system gives no more of it"});
  } catch (const std::exception& error) {
    return failed_outcome(tool_name(), {ExitCode::bug, "bug", "internal error", error.what(),
                                        "this is a bug in the tool; please report it"});
  }
}

}  // namespace mad
