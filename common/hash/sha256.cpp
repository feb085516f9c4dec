#include "hash/sha256.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "hash/sha256_avx512.hpp"
#include "hash/sha256_blocks.hpp"

namespace mad {
namespace {

constexpr std::array<std::uint32_t, 8> k_initial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr std::size_t k_block = 64;
constexpr std::size_t k_most_same = 3;
/// Fewer are sooner done by twos.
constexpr std::size_t k_worth_avx512 = 11;

}  // namespace

std::string to_hex(const Digest& digest) {
  constexpr const char* k_digits = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const std::uint8_t byte : digest) {
    text += k_digits[byte >> 4U];
    text += k_digits[byte & 15U];
  }
  return text;
}

std::optional<Digest> parse_hex_digest(std::string_view text) {
  Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned nibble = 0;
    if (text[i] >= '0' && text[i] <= '9') {
      nibble = static_cast<unsigned>(text[i] - '0');
    } else if (text[i] >= 'a' && text[i] <= 'f') {
      nibble = static_cast<unsigned>(text[i] - 'a') + 10;
    } else {
      return std::nullopt;
    }
    digest[i / 2] = static_cast<std::uint8_t>(digest[i / 2] << 4U | nibble);
  }
  return digest;
}

Sha256::Sha256() : state_(k_initial) {}

void Sha256::update(Bytes bytes) {
  const std::size_t held = length_bytes_ % k_block;
  length_bytes_ += bytes.size();
  if (held != 0) {
    const std::size_t n = std::min(k_block - held, bytes.size());
    std::memcpy(partial_.data() + held, bytes.data(), n);
    bytes = bytes.subspan(n);
    if (held + n < k_block) return;
    sha256_blocks(state_, partial_.data(), 1);
  }
  const std::size_t whole_blocks = bytes.size() / k_block;
  sha256_blocks(state_, bytes.data(), whole_blocks);
  bytes = bytes.subspan(whole_blocks * k_block);
  if (!bytes.empty()) std::memcpy(partial_.data(), bytes.data(), bytes.size());
}

Digest Sha256::finish() {
  const std::uint64_t length_bits = length_bytes_ * 8;
  const std::size_t held = length_bytes_ % k_block;
  std::array<std::byte, 2 * k_block> tail{};
  std::memcpy(tail.data(), partial_.data(), held);
  tail[held] = std::byte{0x80};
  const std::size_t blocks = held + 1 + 8 <= k_block ? 1 : 2;
  for (std::size_t i = 0; i < 8; ++i) {
    tail[blocks * k_block - 1 - i] = static_cast<std::byte>(length_bits >> (8 * i));
  }
  sha256_blocks(state_, tail.data(), blocks);
  Digest digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

Digest Sha256::of(Bytes bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

void Sha256::update_same(std::span<Sha256* const> hashes, Bytes bytes) {
  if (hashes.size() > k_most_same) throw std::invalid_argument("Sha256: too many at once");
  const std::size_t held = hashes.front()->length_bytes_ % k_block;
  const std::size_t head = held == 0 ? 0 : std::min(k_block - held, bytes.size());
  const std::size_t blocks = (bytes.size() - head) / k_block;
  std::array<Sha256State*, k_most_same> states{};
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    hashes[i]->update(bytes.first(head));
    states[i] = &hashes[i]->state_;
  }
  sha256_blocks_same(std::span(states).first(hashes.size()), bytes.data() + head, blocks);
  for (Sha256* hash : hashes) {
    hash->length_bytes_ += blocks * k_block;
    hash->update(bytes.subspan(head + blocks * k_block));
  }
}

std::size_t Sha256::lanes() {
  return sha256_gains_by_avx512() ? k_avx512_lanes : 2;
}

void Sha256::update_each(std::span<Sha256* const> hashes, std::span<const Bytes> bytes) {
  const std::size_t count = hashes.size();
  if (count > k_most_lanes) throw std::invalid_argument("Sha256: too many at once");
  std::array<Sha256State*, k_most_lanes> states{};
  std::array<const std::byte*, k_most_lanes> data{};
  std::size_t shared = count < 2 ? 0 : SIZE_MAX;
  for (std::size_t i = 0; i < count; ++i) {
    states[i] = &hashes[i]->state_;
    data[i] = bytes[i].data();
    const bool is_between_blocks = hashes[i]->length_bytes_ % k_block == 0;
    shared = std::min(shared, is_between_blocks ? bytes[i].size() / k_block : 0);
  }
  if (shared > 0 && count >= k_worth_avx512 && sha256_gains_by_avx512()) {
    sha256_blocks_avx512(std::span(states).first(count), std::span(data).first(count), shared);
  } else if (shared > 0) {
    for (std::size_t i = 0; i + 1 < count; i += 2) {
      sha256_blocks_pair(*states[i], data[i], *states[i + 1], data[i + 1], shared);
    }
    if (count % 2 != 0) sha256_blocks(*states[count - 1], data[count - 1], shared);
  }
  for (std::size_t i = 0; i < count; ++i) {
    hashes[i]->length_bytes_ += shared * k_block;
    hashes[i]->update(bytes[i].subspan(shared * k_block));
  }
}

ChunkedSha256::ChunkedSha256(std::uint64_t chunk_bytes, ChunkDigests chunks)
    : chunk_bytes_(chunk_bytes), wish_(chunks) {
  if (chunk_bytes == 0 || chunk_bytes % k_block != 0) {
    throw std::invalid_argument("ChunkedSha256: chunk_bytes must be a positive multiple of 64");
  }
}

void ChunkedSha256::update(Bytes bytes) {
  if (wish_ == ChunkDigests::unwanted) return whole_.update(bytes);
  while (!bytes.empty()) {
    const Bytes now = bytes.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(room_in_chunk(), bytes.size())));
    bytes = bytes.subspan(now.size());
    Sha256* const both[] = {&whole_, &chunk_};
    Sha256::update_same(both, now);
    if (chunk_.length_bytes() == chunk_bytes_) end_chunk();
  }
}

void ChunkedSha256::update_whole_only(Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes now = bytes.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(room_in_chunk(), bytes.size())));
    if (whole_.length_bytes() % chunk_bytes_ == 0) chunks_.emplace_back();
    whole_.update(now);
    bytes = bytes.subspan(now.size());
  }
}

void ChunkedSha256::end_chunk() {
  chunks_.push_back(chunk_.finish());
  chunk_ = Sha256();
}

Digest ChunkedSha256::finish() {
  if (chunk_.length_bytes() != 0) end_chunk();
  return whole_.finish();
}

std::uint64_t chunk_bytes_for(std::uint64_t size_bytes) {
  constexpr std::uint64_t k_least = std::uint64_t{4} << 20U;
  constexpr std::uint64_t k_most = std::uint64_t{16} << 20U;
  constexpr std::uint64_t k_entries = 4096;
  std::uint64_t chunk_bytes = k_least;
  while (chunk_bytes < k_most && size_bytes / chunk_bytes >= k_entries) chunk_bytes *= 2;
  return chunk_bytes;
}

}  // namespace mad
