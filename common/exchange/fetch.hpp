#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/report.hpp"
#include "exchange/delivery.hpp"
#include "transport/transport.hpp"

namespace mad {

struct FetchRequest {
  /// A bare path, or a URL whose scheme is file or one that open_transport knows.
  std::string url;
  /// The same where it was found in a listing, and is no text any more that parse_url reads;
  /// `url` is then what it is called.
  std::optional<Url> found;
  /// Where the manifest is; empty: the npz's URL with `.manifest.json` appended to its
  /// path, the query kept.
  std::string manifest_url;
  /// npz *and* manifest missing is not an error, but absent.
  bool if_exists = false;
  /// A missing manifest is not an error.
  bool skip_integrity_check = false;
  std::uint64_t max_size_bytes = std::uint64_t{1} << 40U;
  TransportOptions transport;
  RangeWishes ranges;
};

/// How often a pair is read again because it changed while it was read.
inline constexpr int k_max_pair_restarts = 5;

/// The source's last component as a bundle's name, decoded.  Never throws for what
/// fetch_snapshot would refuse.
std::string snapshot_name(const std::string& url);

/// The source without its secrets.
std::string redacted_source(const std::string& url);
/// The same for people: printable().
std::string display_source(const std::string& url);

/// What a request reads, with the manifest where it will be looked for.  Throws what
/// parse_url and path_of_file_url throw.
SourceNames name_sources(const FetchRequest& request);

/// Fetches the pair: the manifest, the npz, and then looks whether the manifest is
/// still the same; where either changed meanwhile, both are read again.
///
/// Ends with delivery.finish() or delivery.absent(), and says in `report` what was
/// done.  Throws Error(not_found, `snapshot-missing` | `manifest-missing`),
/// Error(remote, `object-changing`), what the transport, open_snapshot and the delivery
/// throw.
void fetch_snapshot(const FetchRequest& request, Delivery& delivery, Report& report);

}  // namespace mad
