#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "exchange/pair_texts.hpp"
#include "exchange/ranged_npz.hpp"
#include "io/sink.hpp"
#include "snapshot/publish.hpp"

namespace mad {

/// Where a fetched snapshot goes.
///
/// begin() and write()…, or begin_ranges() and what that gives, and then finish(); restart()
/// before it begins again makes everything before it void.  Nothing counts without finish().
class Delivery {
 public:
  virtual ~Delivery() = default;
  /// Without a manifest where there is none, and none is demanded.
  virtual void begin(const PairTexts& texts) = 0;
  virtual void write(Bytes bytes) = 0;
  /// The same for `length` bytes of a file from `offset`; returns how many it had.
  virtual std::uint64_t write_file(int file, std::uint64_t offset, std::uint64_t length,
                                   const std::string& subject);
  /// The npz by ranges, of which the delivery keeps the owner's part until restart() or its
  /// own end; held in memory and written in order where nothing better is known.
  virtual RangedNpz& begin_ranges(const PairTexts& texts, const RangedObject& object,
                                  const RangeWishes& wishes);
  virtual void restart() = 0;
  virtual void finish() = 0;
  /// There is nothing to fetch: `reason` is `no-url` or `not-there-yet`.
  virtual void absent(const std::string& reason, const std::string& message) = 0;
  /// The work could not be done.
  virtual void failed(const Error& error) = 0;

 protected:
  std::unique_ptr<RangedNpz> ranged_;
};

/// A bundle, sealed `fetched`, `absent` or `failed`, on a descriptor it does not own.
std::unique_ptr<Delivery> deliver_bundle(int fd, const std::string& name);

/// What is fetched, as messages call it: free of secrets.
struct SourceNames {
  std::string npz;
  std::string manifest;
};

/// A pair on disk, and its signature, published only where the manifest's schema is readable and
/// size and SHA-256 of the npz are what it says (without a manifest: unchecked).  Throws
/// Error(refused, `size-mismatch` | `sha256-mismatch`); begin() throws what
/// parse_manifest throws, before any byte of the npz is fetched.  What is wrong with
/// the bytes is said of `source`, not of `npz_path`, where nothing is yet.
///
/// By ranges, what is there stays for the next fetch (PartialFile) where this one ends by a
/// signal, or failed() is told of something that may be gone by then.
std::unique_ptr<Delivery> deliver_files(const std::string& npz_path, const SourceNames& source,
                                        const PublishOptions& options);

}  // namespace mad
