#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bundle/bundle.hpp"
#include "io/sink.hpp"

namespace mad {

/// Writes a bundle, a POSIX pax stream (mad-bundle(5)), to a descriptor it does not own.
///
/// write() takes the npz's bytes in any portions and cuts them into parts; portions
/// of 256 KiB and more are passed on at once, without being copied.  A bundle without seal() is
/// incomplete for every reader; destruction writes nothing.
class BundleWriter final : public Sink {
 public:
  /// `name` is what bundle_name() makes.
  BundleWriter(int fd, std::string name);
  ~BundleWriter() override;
  BundleWriter(const BundleWriter&) = delete;
  BundleWriter& operator=(const BundleWriter&) = delete;

  void manifest(std::string_view bytes);
  void signature(std::string_view bytes);
  void write(Bytes bytes) override;
  /// The same for `length` bytes of a file from `offset`, which are not copied where the
  /// output is a pipe (write_from_file): only for a file that nobody else changes, or for
  /// a reader that verifies.  Returns how many the file had; where they are fewer, the
  /// part was filled with zeros, and the bundle is good for restart() only.
  std::uint64_t write_file(int file, std::uint64_t offset, std::uint64_t length,
                           const std::string& subject);
  void finish() override {}  // seal() ends a bundle
  /// Everything before is void; begin again with the manifest.
  void restart();
  /// Ends the last part, writes the seal and the end of the archive; nothing after a member
  /// that could not be written to its end, which makes the bundle incomplete by itself.
  void seal(const Seal& seal);

  const std::string& name() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
