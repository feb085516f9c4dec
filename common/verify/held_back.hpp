#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "io/fd.hpp"
#include "io/sink.hpp"

namespace mad {

/// The bytes of an npz that wait, in an unnamed file, until all of them are proven.
class HeldBack {
 public:
  /// Opens the file, before it is known whether it will be needed: later none can be.
  /// `directory` as for open_unnamed_file.
  explicit HeldBack(const std::string& directory);
  ~HeldBack();
  HeldBack(const HeldBack&) = delete;
  HeldBack& operator=(const HeldBack&) = delete;

  /// From here on it is needed, and empty.  Throws what opening it threw; Error(io).
  void begin();
  void write(Bytes bytes);
  int fd() const { return file_.get(); }
  /// The first `size_bytes` of it to `sink`; their room is given back on the way.
  void release(std::uint64_t size_bytes, Sink& sink);

 private:
  Fd file_;
  std::optional<Error> failure_;
};

}  // namespace mad
