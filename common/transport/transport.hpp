#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hash/sha256.hpp"
#include "io/fd.hpp"
#include "transport/retry.hpp"
#include "transport/stop.hpp"
#include "transport/url.hpp"

namespace mad {

/// Names (lower case, `a-z0-9-`) and values (printable ASCII) of ours that a store keeps
/// with an object.
using Metadata = std::map<std::string, std::string>;

/// What a store says of one version of an object.
struct ObjectInfo {
  /// Nothing where an http server does not say.
  std::optional<std::uint64_t> size_bytes;
  /// Pins this version in get_range and PutOptions: an ETag, a generation, a date.  Opaque;
  /// empty where nothing that the server says can pin it.
  std::string version;
  Metadata metadata;
  std::optional<std::int64_t> modified_s;
};

/// Who takes an object's bytes as they arrive.
class Receiver {
 public:
  virtual ~Receiver() = default;
  /// Before the first byte: the object's size and version, where an answer says them.
  virtual void begin(const ObjectInfo& object) = 0;
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

/// What became of a get_range().
enum class RangeOutcome {
  complete,   ///< exactly the bytes asked for were written
  changed,    ///< that version is no more; what was written is void
  no_ranges,  ///< the server gives whole objects only; nothing was written
};

struct PutOptions {
  enum class Condition { none, if_absent, if_version };
  Condition condition = Condition::none;
  /// With if_version: what ObjectInfo called it.
  std::string version;
  Metadata metadata;
  std::string content_type = "application/octet-stream";
};

/// An object on its way to a store in parts, invisible there until finish().
///
/// put_part() may be called from several threads at once where
/// Capabilities::parts_in_parallel, else in order; the rest by one thread, once no other
/// is in put_part().  Destruction without finish() aborts.
class Upload {
 public:
  virtual ~Upload() = default;
  /// Part `index`, from 0.  All but the last have one size, which obeys the Capabilities;
  /// the bytes need only live for the call.  `sha256` is theirs, where the caller knows it
  /// (Capabilities::part_sha256).  A failed part is sent again; what is thrown is final for
  /// the upload.
  virtual void put_part(std::uint32_t index, Bytes bytes, const std::optional<Digest>& sha256) = 0;
  /// Makes the parts an object, and checks that the store has as many bytes as it was
  /// sent.  `late` is metadata not known at the start, where Capabilities::late_metadata.
  /// Nothing where the condition did not hold: the upload is then aborted.
  virtual std::optional<ObjectInfo> finish(const Metadata& late = {}) = 0;
  /// Takes everything back, a signal that has arrived or not; never throws, but warns where
  /// parts may be left in the store.
  virtual void abort() noexcept = 0;
};

struct ListedObject {
  Url url;
  std::uint64_t size_bytes = 0;
  std::string version;
  std::optional<std::int64_t> modified_s;
};

/// What became of a remove_version().
enum class RemoveOutcome {
  removed,
  missing,  ///< there is no such object, any more
  changed,  ///< another version is there, and stays
};

/// Gets the objects found, a page at a time; false ends the listing.
using ListPage = std::function<bool(const std::vector<ListedObject>& objects)>;

/// An upload in parts that was begun, and neither finished nor aborted.
struct ListedUpload {
  Url url;
  std::string id;
  /// When its last part came, else when it was begun.
  std::optional<std::int64_t> modified_s;
};

/// What a store can do; what it cannot is a usage error where it is asked for all the same.
struct Capabilities {
  /// Ranges at all; http servers may be found without (RangeOutcome::no_ranges).
  bool ranges = true;
  /// How many ranges at once are worth their cost, for each processor here: a web server
  /// gives one connection all it has, an object store a share.
  unsigned connections_a_processor = 2;
  /// PutOptions::condition holds against writers at the same instant.  Where not, it is a
  /// look beforehand.
  bool conditional_put = true;
  bool conditional_upload = true;
  bool conditional_remove = true;
  bool metadata = true;
  bool late_metadata = false;
  bool list = true;
  bool parts_in_parallel = true;
  /// Who knows the SHA-256 of a part saves the transport a digest of its own.
  bool part_sha256 = false;
  std::uint64_t min_part_bytes = 1;
  std::uint64_t max_part_bytes = 0;
  /// Each part but the last is a multiple of this.
  std::uint64_t part_multiple = 1;
  std::uint32_t max_parts = 0;
  std::uint64_t max_put_bytes = 0;
};

struct TransferFigures {
  std::uint64_t received_bytes = 0;  ///< of objects, repeated ones included
  std::uint64_t sent_bytes = 0;      ///< the same
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
};

/// Moves the bytes of objects; knows nothing of what they mean.
///
/// A transfer that is cut goes on where it stopped only where the server proves that
/// it is still the same version; a transient failure is tried again.  Any number of
/// threads at a time; a signal ends all their calls (Interrupted), and so does
/// TransportOptions::stop (Stopped).  Throws Error(remote) with the reason
/// `connect`, `timeout`, `http-status`, `transfer-cut`, `tls`, `dns` or `bad-answer`,
/// Error(access_denied), Error(not_found, `bucket-missing`), and Error(refused,
/// `too-large`) beyond `max_bytes`.  Errors and log lines name URLs by display_url() only.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Capabilities capabilities() const = 0;

  /// Nothing where there is no such object.
  virtual std::optional<ObjectInfo> stat(const Url& url) = 0;
  virtual GetOutcome get(const Url& url, Receiver& receiver, std::uint64_t max_bytes) = 0;
  /// Writes the `length` (at least 1) bytes from `offset` on of the version `pinned`, which
  /// has a version and a size that holds them; of the receiver only write() is called.
  virtual RangeOutcome get_range(const Url& url, const ObjectInfo& pinned, std::uint64_t offset,
                                 std::uint64_t length, Receiver& receiver) = 0;

  /// A whole object in one request.  Nothing where the condition did not hold.
  virtual std::optional<ObjectInfo> put(const Url& url, Bytes bytes, const PutOptions& options) = 0;
  virtual std::unique_ptr<Upload> begin_upload(const Url& url, const PutOptions& options,
                                               std::optional<std::uint64_t> size_bytes) = 0;

  /// Everything whose URL begins with `prefix`, in the order of the names.
  virtual void list(const Url& prefix, const ListPage& page) = 0;
  /// Nothing there is no error.
  virtual void remove(const Url& url) = 0;
  /// Only while it is the version that stat() or list() called so, which the store itself
  /// sees to where Capabilities::conditional_remove; else it is a look beforehand.
  virtual RemoveOutcome remove_version(const Url& url, const std::string& version);

  /// Of the objects whose URL begins with `prefix`.  A store that gets rid of them by itself, or
  /// does not tell, has none.
  virtual std::vector<ListedUpload> list_uploads(const Url& prefix);
  /// Nothing there is no error.
  virtual void remove_upload(const ListedUpload& upload);

  virtual TransferFigures figures() const = 0;
};

/// The part size for an upload of `size_bytes` (nothing: not known in advance), at least
/// `wanted_bytes`, so that it fits into the parts that a store allows.
std::uint64_t part_bytes_for(const Capabilities& capabilities,
                             std::optional<std::uint64_t> size_bytes, std::uint64_t wanted_bytes);

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
  /// For object stores: `--endpoint-url`, `--region`, `--no-sign-request`.
  std::string endpoint_url;
  std::string region;
  bool anonymous = false;
  /// Ends calls from another thread; none where it is empty.
  std::shared_ptr<Stop> stop;
};

/// The transport for `scheme`, one file each.  Throws Error(usage) that names the
/// schemes there are, for any other.
std::unique_ptr<Transport> open_transport(const Url& url, const TransportOptions& options);

/// One `-H`: `Name: value`, or `@FILE` with such a line each, so that no secret need be
/// in a command line.  Appends to `headers`.  Throws Error(usage) for line breaks and
/// control characters, for what is no header, for headers that are the transport's own
/// (Range, Accept-Encoding, …), and for a second Authorization, without quoting the value.
void parse_header(std::string_view text, std::vector<std::string>& headers);

/// Whether `headers`, of parse_header, hold an Authorization: an object store then gets that
/// one, and no credentials are looked for.
bool gives_authorization(const std::vector<std::string>& headers);

}  // namespace mad
