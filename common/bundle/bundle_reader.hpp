#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bundle/bundle.hpp"
#include "io/source.hpp"

namespace mad {

enum class SealNeed { sealed, unsealed };

/// Reads a bundle from a stream, front to back.  Untrusted: kinds, names, order,
/// numbering and lengths of members are held against mad-bundle(5).
class BundleReader {
 public:
  /// `unsealed` also takes a pair tarred by hand: `<name>.npz` as one member, no
  /// seal; the end of the archive then reads as a `created` seal.
  BundleReader(Source& source, SealNeed need, std::string subject);
  ~BundleReader();
  BundleReader(const BundleReader&) = delete;
  BundleReader& operator=(const BundleReader&) = delete;

  enum class Kind { manifest, signature, data, restart, seal };
  /// The next thing in the stream; after `seal`, never again, and after `data` not before
  /// part() is read to its end.
  ///
  /// Throws Error(incomplete): `no-bundle` (not one byte came), `stream-cut` (the
  /// stream ends inside a member), `no-seal` (it ends between two), and
  /// Error(refused, `bundle-invalid`) for anything that is no bundle.  After
  /// the seal only zero padding may follow.
  Kind next();

  /// After manifest or signature: its bytes (at most 8 MiB and 64 KiB).
  const std::string& text() const;
  /// After data: the next bytes of the npz, a part of it or (unsealed) the whole; they go
  /// from the stream to where they are wanted and nowhere else.
  Source& part();
  /// Of the part, how many are still to come.
  std::uint64_t part_bytes_left() const;
  /// After seal.
  const Seal& seal() const;
  /// `<name>.npz`, known after the first manifest or data.
  const std::string& name() const;
  /// Bytes of the npz read so far, since the start or the last restart.
  std::uint64_t npz_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
