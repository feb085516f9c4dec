#include "exchange/latest_search.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

constexpr int k_most_looks = 3;

/// Whether an older one may be taken for it, and not the same one later.
bool is_lasting(const Error& error) {
  return is_verdict(error) || error.code == ExitCode::io;
}

}  // namespace

LatestSearch::LatestSearch(const FetchRequest& base, std::optional<unsigned> fallback, Proof proof)
    : base_(base), fallback_(fallback), proof_(proof) {
  try {
    place_ = open_place(base.url, base);
  } catch (const Error& error) {
    if (error.reason != "place-missing") throw;
    log_note(error.one_line());
    return;
  }
  if (place_->is_local()) proof_ = Proof::before;
  look();
}

/// A listing in pages is not of one instant: that there is nothing is believed the second time.
void LatestSearch::look() {
  ++looks_;
  look_once();
  if (pairs_.empty()) look_once();
}

void LatestSearch::look_once() {
  pairs_ = place_->survey(WorkNeed::not_needed).snapshots;
  const auto no_pair = [](const PlacedSnapshot& snapshot) {
    return snapshot.state == SnapshotState::no_manifest || snapshot.state == SnapshotState::no_npz;
  };
  const auto end = std::remove_if(pairs_.begin(), pairs_.end(), no_pair);
  halves_ = pairs_.end() - end;
  pairs_.erase(end, pairs_.end());
  sort_newest_first(pairs_);
  next_ = 0;
  skipped_.clear();
}

bool LatestSearch::look_again() {
  if (looks_ == k_most_looks) return false;
  look();
  return true;
}

std::optional<FetchRequest> LatestSearch::next() {
  for (; next_ < pairs_.size(); ++next_) {
    const PlacedSnapshot& snapshot = pairs_[next_];
    std::optional<Error> error = snapshot.error;
    if (!error && fallback_ && proof_ == Proof::before) error = place_->check(snapshot);
    if (!error) return place_->request_for(snapshot, base_);
    if (error->code == ExitCode::not_found && look_again()) return next();
    if (!is_lasting(*error)) throw Error(*error);
    pass_over(snapshot, *error);
  }
  if (!skipped_.empty()) none_valid();
  if (halves_ > 0) {
    log_warning(printable(place_->path_of("")) + ": passing by " + std::to_string(halves_) +
                " without npz or manifest, which are no snapshots");
  }
  return std::nullopt;
}

void LatestSearch::pass_over(const Error& error) {
  pass_over(pairs_[next_++], error);
}

void LatestSearch::pass_over(const PlacedSnapshot& snapshot, const Error& error) {
  log_warning("passed over: " + error.one_line());
  skipped_.push_back({snapshot.name, error});
  if (fallback_ && skipped_.size() > *fallback_) none_valid();
}

void LatestSearch::none_valid() const {
  throw Error(ExitCode::refused, "no-valid-snapshot", printable(place_->path_of("")),
              "expected a valid snapshot, found " + std::to_string(skipped_.size()) +
                  (skipped_.size() == 1 ? " that is not" : " that are not") + ", the newest for " +
                  skipped_.front().error.reason);
}

void LatestSearch::tell(Report& report) const {
  std::string json = "[";
  for (const Skipped& skipped : skipped_) {
    json += json.size() > 1 ? "," : "";
    json += "{\"name\":" + json_quote(skipped.name) +
            ",\"reason\":" + json_quote(skipped.error.reason) +
            ",\"message\":" + json_quote(skipped.error.one_line()) + "}";
  }
  report.set_json("skipped", json + "]");
}

}  // namespace mad
