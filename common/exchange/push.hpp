#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/report.hpp"
#include "exchange/push_source.hpp"
#include "transport/transport.hpp"

namespace mad {

struct PushRequest {
  /// Of the npz; the other objects' are next to it (RemoteNames).
  Url url;
  /// The manifest's, where the npz's does not lead to it: nothing but the two is then written,
  /// and a signature at the manifest's path with `.sig`, unless that one is signed itself.
  std::optional<Url> manifest_url;
  /// Refuse where a snapshot is there already.
  bool if_absent = false;
  /// Read back what was written before the push counts as done.
  bool verify = false;
  SendPlan plan;
  /// Bytes a second; 0: no bound.
  std::uint64_t limit_rate = 0;
  TransportOptions transport;
};

/// Puts a snapshot where `request.url` says, so that readers (mad-fetch) find the whole old
/// one or the whole new one at every instant, whenever the writer dies:
///
/// complete what a dead writer left; send the npz, invisible; hold it against its manifest;
/// put the manifest as `.next`; commit the npz, with its digest in its metadata; put the
/// manifest; remove `.next`.  A signature goes the same way, each of its steps before the
/// manifest's.
///
/// With a manifest URL of its own there is no `.next`: a death between npz and manifest leaves
/// the new npz with the old manifest, which no reader accepts.  Where the store lets itself be
/// written but not read, nothing can be known or completed beforehand.
///
/// Nothing is sent where the snapshot is there already, whole.  After a resume that failed,
/// a snapshot that is, or may be, there is not replaced (after_failed_name).  Says in `report`
/// what was done.  Throws Error(refused, `already-there` | `read-back-mismatch`), Error(remote,
/// `lost-race`), what the source and the transport throw.
void push_snapshot(PushSource& source, const PushRequest& request, Report& report);

}  // namespace mad
