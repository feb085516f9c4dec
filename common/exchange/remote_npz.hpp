#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/progress.hpp"
#include "base/report.hpp"
#include "exchange/delivery.hpp"
#include "exchange/rate_limit.hpp"
#include "hash/sha256.hpp"
#include "transport/transport.hpp"

namespace mad {

struct NpzSource {
  Transport& transport;
  const Url& url;
  /// The one of the transport's TransportOptions.
  Stop& stop;
  std::uint64_t max_size_bytes = 0;
  RangeWishes wishes;
};

/// The npz of a remote pair on its way to a delivery, which gets the texts first: by
/// ranges of one version where the server has them and it takes more than one request,
/// else as one stream.
class RemoteNpz {
 public:
  /// All outlive it.
  RemoteNpz(const NpzSource& source, Delivery& delivery, Progress& progress);

  /// `info` is what the server says of it; nothing for one stream that is hashed.  Once more after
  /// restart().
  GetOutcome read(const std::optional<ObjectInfo>& info, const PairTexts& texts);
  /// What was read is void.
  void restart();

  /// Of what was read without being asked about.
  const Digest& sha256() const { return sha256_; }
  /// Sets `size_bytes`, `connections`, `ranges` (0: one stream) and `resumed_bytes`.
  void tell(Report& report) const;

 private:
  class Stream;
  RangeOutcome read_ranges_of(const ObjectInfo& info, const PairTexts& texts);
  bool suits_ranges(const std::optional<ObjectInfo>& info) const;

  NpzSource source_;
  Delivery& delivery_;
  Progress& progress_;
  std::optional<RateLimit> limit_;
  bool has_ranges_;
  int changes_ = 0;
  Digest sha256_{};
  std::uint64_t size_bytes_ = 0;
  std::uint64_t resumed_bytes_ = 0;
  RangedFigures figures_;
};

}  // namespace mad
