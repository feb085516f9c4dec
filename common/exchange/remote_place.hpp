#pragma once

#include <memory>
#include <string>

#include "exchange/fetch.hpp"
#include "retention/place.hpp"

namespace mad {

/// A place as fetches need it, too.
class FetchPlace : public Place {
 public:
  /// `request` with where this snapshot is.
  virtual FetchRequest request_for(const PlacedSnapshot& snapshot, FetchRequest request) const = 0;
  /// Whether a check reads what is at hand: then it costs no second transfer.
  virtual bool is_local() const = 0;
};

/// A directory, or what the names in a store with a common beginning that ends with a slash
/// are taken for.  `request` says how fetches are made.
///
/// Throws Error(usage) for what cannot be listed, such as http.
std::unique_ptr<FetchPlace> open_place(const std::string& place, const FetchRequest& request);

}  // namespace mad
