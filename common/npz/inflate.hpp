#pragma once

#include <memory>
#include <string>

#include "io/fd.hpp"

namespace mad {

/// Unpacks a raw deflate stream (RFC 1951), piece by piece.
class Inflater {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    /// The stream's last block is done; what was not consumed is not part of it.
    bool ended = false;
  };
  /// Throws Error(refused, `archive-invalid`) where the bytes are no such stream.
  Step step(Bytes in, MutableBytes out, const std::string& subject);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Packs one, with zlib's fastest level: a preempted machine has little time left.
class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  enum class Input { more, last };
  struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool ended = false;
  };
  Step step(Bytes in, Input input, MutableBytes out);
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
