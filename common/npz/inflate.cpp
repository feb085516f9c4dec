#include "npz/inflate.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

#include "base/error.hpp"

namespace mad {
namespace {

/// zlib counts in 32 bits and takes its input without const.
void attach(z_stream& stream, Bytes in, MutableBytes out) {
  constexpr std::size_t k_most = std::numeric_limits<uInt>::max();
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(std::min(in.size(), k_most));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(std::min(out.size(), k_most));
}

std::size_t consumed_of(const z_stream& stream, Bytes in) {
  return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(stream.next_in) - in.data());
}

std::size_t produced_of(const z_stream& stream, MutableBytes out) {
  return static_cast<std::size_t>(reinterpret_cast<std::byte*>(stream.next_out) - out.data());
}

}  // namespace

struct Inflater::State {
  z_stream stream{};
};

Inflater::Inflater() : state_(std::make_unique<State>()) {
  if (inflateInit2(&state_->stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() {
  inflateEnd(&state_->stream);
}

Inflater::Step Inflater::step(Bytes in, MutableBytes out, const std::string& subject) {
  z_stream& stream = state_->stream;
  attach(stream, in, out);
  const int result = inflate(&stream, Z_NO_FLUSH);
  if (result == Z_MEM_ERROR) throw std::bad_alloc();
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
    throw Error(ExitCode::refused, "archive-invalid", subject,
                std::string("expected a deflate stream, found ") +
                    (stream.msg != nullptr ? stream.msg : "something else"));
  }
  return {consumed_of(stream, in), produced_of(stream, out), result == Z_STREAM_END};
}

struct Deflater::State {
  z_stream stream{};
};

Deflater::Deflater() : state_(std::make_unique<State>()) {
  constexpr int k_default_memory = 8;
  if (deflateInit2(&state_->stream, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS, k_default_memory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
}

Deflater::~Deflater() {
  deflateEnd(&state_->stream);
}

Deflater::Step Deflater::step(Bytes in, Input input, MutableBytes out) {
  z_stream& stream = state_->stream;
  attach(stream, in, out);
  const int result = deflate(&stream, input == Input::last ? Z_FINISH : Z_NO_FLUSH);
  return {consumed_of(stream, in), produced_of(stream, out), result == Z_STREAM_END};
}

void Deflater::reset() {
  deflateReset(&state_->stream);
}

}  // namespace mad
