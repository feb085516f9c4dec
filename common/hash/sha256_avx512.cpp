#include "hash/sha256_avx512.hpp"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// gcc 12's own header is what it warns of (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace mad {

#if defined(__x86_64__)
namespace {

#define MAD_AVX512 __attribute__((target("avx512f,avx512bw")))
#define MAD_AVX512_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

constexpr std::size_t k_prefetch_bytes = 512;

/// One word of sixteen states, or of sixteen blocks.
using Words = __m512i;

MAD_AVX512_INLINE Words add(Words a, Words b) {
  return _mm512_add_epi32(a, b);
}

/// a ^ b ^ c.
MAD_AVX512_INLINE Words parity(Words a, Words b, Words c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

MAD_AVX512_INLINE Words choose(Words x, Words y, Words z) {
  return _mm512_ternarylogic_epi32(x, y, z, 0xCA);
}

MAD_AVX512_INLINE Words majority(Words x, Words y, Words z) {
  return _mm512_ternarylogic_epi32(x, y, z, 0xE8);
}

template <int A, int B, int C>
MAD_AVX512_INLINE Words large_sigma(Words x) {
  return parity(_mm512_ror_epi32(x, A), _mm512_ror_epi32(x, B), _mm512_ror_epi32(x, C));
}

template <int A, int B, int C>
MAD_AVX512_INLINE Words small_sigma(Words x) {
  return parity(_mm512_ror_epi32(x, A), _mm512_ror_epi32(x, B), _mm512_srli_epi32(x, C));
}

/// The sixteen big-endian words of each block, word by word: a matrix that is transposed.
MAD_AVX512_INLINE void load_words(Words* words, const std::byte* const* data, std::size_t offset) {
  const Words big_endian =
      _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
  Words rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    rows[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(data[i] + offset), big_endian);
    _mm_prefetch(reinterpret_cast<const char*>(data[i]) + offset + k_prefetch_bytes, _MM_HINT_T0);
  }
  // Within each quarter of the registers, four rows at a time; then the quarters.
  Words quads[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const Words low01 = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    const Words high01 = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    const Words low23 = _mm512_unpacklo_epi32(rows[i + 2], rows[i + 3]);
    const Words high23 = _mm512_unpackhi_epi32(rows[i + 2], rows[i + 3]);
    quads[i] = _mm512_unpacklo_epi64(low01, low23);
    quads[i + 1] = _mm512_unpackhi_epi64(low01, low23);
    quads[i + 2] = _mm512_unpacklo_epi64(high01, high23);
    quads[i + 3] = _mm512_unpackhi_epi64(high01, high23);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Words even0 = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0x88);
    const Words odd0 = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0xDD);
    const Words even1 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0x88);
    const Words odd1 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0xDD);
    words[i] = _mm512_shuffle_i32x4(even0, even1, 0x88);
    words[4 + i] = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
    words[8 + i] = _mm512_shuffle_i32x4(even0, even1, 0xDD);
    words[12 + i] = _mm512_shuffle_i32x4(odd0, odd1, 0xDD);
  }
}

/// W[t + 16] in the place of W[t].
MAD_AVX512_INLINE void extend(Words* w, int t) {
  w[t % 16] = add(add(w[t % 16], small_sigma<7, 18, 3>(w[(t + 1) % 16])),
                  add(w[(t + 9) % 16], small_sigma<17, 19, 10>(w[(t + 14) % 16])));
}

MAD_AVX512_INLINE void compress(Words* state, Words* w) {
  Words a = state[0];
  Words b = state[1];
  Words c = state[2];
  Words d = state[3];
  Words e = state[4];
  Words f = state[5];
  Words g = state[6];
  Words h = state[7];
#pragma GCC unroll 64
  for (int t = 0; t < 64; ++t) {
    const auto constant = static_cast<int>(k_sha256_round[static_cast<std::size_t>(t)]);
    const Words t1 = add(add(h, add(w[t % 16], _mm512_set1_epi32(constant))),
                         add(large_sigma<6, 11, 25>(e), choose(e, f, g)));
    const Words t2 = add(large_sigma<2, 13, 22>(a), majority(a, b, c));
    h = g;
    g = f;
    f = e;
    e = add(d, t1);
    d = c;
    c = b;
    b = a;
    a = add(t1, t2);
    if (t < 48) extend(w, t);
  }
  const Words after[8] = {a, b, c, d, e, f, g, h};
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) state[i] = add(state[i], after[i]);
}

MAD_AVX512 void compress_all(std::uint32_t (*lanes)[k_avx512_lanes], const std::byte* const* data,
                             std::size_t blocks) {
  Words state[8];
  for (int i = 0; i < 8; ++i) state[i] = _mm512_load_si512(lanes[i]);
  for (std::size_t i = 0; i < blocks; ++i) {
    Words words[16];
    load_words(words, data, 64 * i);
    compress(state, words);
  }
  for (int i = 0; i < 8; ++i) _mm512_store_si512(lanes[i], state[i]);
}

}  // namespace

bool sha256_gains_by_avx512() {
  static const bool gains = __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512bw") &&
                            (__builtin_cpu_is("intel") || !sha256_has_instructions());
  return gains;
}

void sha256_blocks_avx512(std::span<Sha256State* const> states,
                          std::span<const std::byte* const> data, std::size_t blocks) {
  alignas(64) std::uint32_t lanes[8][k_avx512_lanes] = {};
  std::array<const std::byte*, k_avx512_lanes> from{};
  // Lanes that nobody wants go over the first one's bytes.
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = data[i < data.size() ? i : 0];
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (std::size_t word = 0; word < 8; ++word) lanes[word][i] = (*states[i])[word];
  }
  compress_all(lanes, from.data(), blocks);
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (std::size_t word = 0; word < 8; ++word) (*states[i])[word] = lanes[word][i];
  }
}
#else
bool sha256_gains_by_avx512() {
  return false;
}

void sha256_blocks_avx512(std::span<Sha256State* const> states,
                          std::span<const std::byte* const> data, std::size_t blocks) {
  for (std::size_t i = 0; i < states.size(); ++i) sha256_blocks(*states[i], data[i], blocks);
}
#endif

}  // namespace mad
