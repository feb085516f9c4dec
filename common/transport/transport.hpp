#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/fd.hpp"
#include "transport/retry.hpp"
#include "transport/stop.hpp"
#include "transport/url.hpp"

namespace mad {

/// Who takes an object's bytes as they arrive.
class Receiver {
 public:
  virtual ~Receiver() = default;
  /// Before the first byte: the object's length, where an answer says it.
  virtual void begin(std::optional<std::uint64_t> size_bytes) = 0;
  virtual void write(Bytes bytes) = 0;
  /// The bytes so far are void: the object comes again from its start.
  virtual void restart() = 0;
};

/// What became of a get(); everything else is an Error.
enum class GetOutcome {
  complete,  ///< every byte of one version of the object was written
  changed,   ///< another version took its place while it was read
  missing,   ///< there is no such object
};

struct TransferFigures {
  std::uint64_t received_bytes = 0;  ///< of objects, repeated ones included
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
};

/// Moves the bytes of objects; knows nothing of what they mean.
///
/// A transfer that is cut goes on where it stopped only where the server proves that
/// it is still the same version; a transient failure is tried again.  One thread at
/// a time; a signal ends it (Interrupted).  Throws Error(remote) with the reason
/// `connect`, `timeout`, `http-status`, `transfer-cut`, `tls` or `dns`,
/// Error(access_denied), and Error(refused, `too-large`) beyond `max_bytes`.
/// Errors and log lines name URLs by display_url() only.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) = 0;
  /// Whether the object is there, without reading it.
  virtual bool exists(const Url& url) = 0;
  virtual TransferFigures figures() const = 0;
};

struct TransportOptions {
  /// `Name: value`, for the origin of the URL given and no other (parse_header).
  std::vector<std::string> headers;
  /// Look user and password up in ~/.netrc.
  bool use_netrc = false;
  /// PEM file of the CAs to trust in place of the system's; empty: the system's.
  std::string ca_file;
  std::chrono::milliseconds connect_timeout{15'000};
  /// The longest time without a byte, once connected.
  std::chrono::milliseconds stall_timeout{30'000};
  RetryPolicy retry;
  /// Ends calls from another thread; none where it is empty.
  std::shared_ptr<Stop> stop;
};

/// The transport for `scheme`, one file each.  Throws Error(usage) that names the
/// schemes there are, for any other.
std::unique_ptr<Transport> open_transport(const Url& url, const TransportOptions& options);

/// One `-H`: `Name: value`, or `@FILE` with such a line each, so that no secret need be
/// in a command line.  Appends to `headers`.  Throws Error(usage) for line breaks and
/// control characters, for what is no header, and for headers that are the transport's
/// own (Range, Accept-Encoding, …), without quoting the value.
void parse_header(std::string_view text, std::vector<std::string>& headers);

}  // namespace mad
