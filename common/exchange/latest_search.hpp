#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/report.hpp"
#include "exchange/fetch.hpp"
#include "exchange/remote_place.hpp"

namespace mad {

/// When a snapshot that may be passed over for an older one is proven.
enum class Proof {
  before,   ///< all of it is read before the first byte goes on
  by_sink,  ///< the sink proves it before it counts; a local one is read before all the same
};

/// Goes through the snapshots of a place, from the newest on, to one that can be taken.
class LatestSearch {
 public:
  /// `base.url` is the place.  Without `fallback` the newest complete one is taken, valid or
  /// not; with it, at most so many are passed over for one that is valid.
  LatestSearch(const FetchRequest& base, std::optional<unsigned> fallback, Proof proof);

  /// Nothing where there is no snapshot at all.  Throws Error(refused, `no-valid-snapshot`)
  /// where there are some, and none that may be taken; what the place throws.
  std::optional<FetchRequest> next();
  /// The one that next() gave turned out to be wrong.  Throws as next().
  void pass_over(const Error& error);
  /// The one that next() gave was gone: the place is looked at anew.  False where that has
  /// been done too often.
  bool look_again();

  /// Sets `skipped`: name, reason and message of each that was passed over.
  void tell(Report& report) const;

 private:
  void look();
  void look_once();
  void pass_over(const PlacedSnapshot& snapshot, const Error& error);
  [[noreturn]] void none_valid() const;

  struct Skipped {
    std::string name;
    Error error;
  };
  FetchRequest base_;
  std::optional<unsigned> fallback_;
  Proof proof_;
  std::unique_ptr<FetchPlace> place_;
  /// The newest first; what is no pair of npz and manifest is not among them.
  std::vector<PlacedSnapshot> pairs_;
  /// How many of those there are.
  std::ptrdiff_t halves_ = 0;
  std::size_t next_ = 0;
  std::vector<Skipped> skipped_;
  int looks_ = 0;
};

}  // namespace mad
