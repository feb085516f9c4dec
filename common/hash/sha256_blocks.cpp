#include "hash/sha256_blocks.hpp"

// The one-block interface is the only way into OpenSSL's assembly at a given state.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mad {
namespace portable {

void sha256_blocks(Sha256State& state, const std::byte* data, std::size_t blocks) {
  SHA256_CTX context;
  SHA256_Init(&context);
  std::copy(state.begin(), state.end(), std::begin(context.h));
  SHA256_Update(&context, data, blocks * 64);
  std::copy(std::begin(context.h), std::end(context.h), state.begin());
}

}  // namespace portable

#if defined(__x86_64__)
namespace {

// Far enough ahead that memory answers before the rounds of the blocks between.
constexpr std::size_t k_prefetch_bytes = 1024;

#define MAD_SHA_TARGET __attribute__((target("sha,sse4.1"), always_inline)) inline

/// A state in the order that SHA256RNDS2 wants: ABEF and CDGH.
struct Lanes {
  __m128i abef;
  __m128i cdgh;
};

MAD_SHA_TARGET Lanes load_lanes(const Sha256State& state) {
  const auto* words = reinterpret_cast<const __m128i*>(state.data());
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1B);
  return {_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xF0)};
}

MAD_SHA_TARGET void store_lanes(const Lanes& lanes, Sha256State& state) {
  const __m128i feba = _mm_shuffle_epi32(lanes.abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(lanes.cdgh, 0xB1);
  auto* words = reinterpret_cast<__m128i*>(state.data());
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

MAD_SHA_TARGET void four_rounds(Lanes& lanes, __m128i schedule, __m128i schedule_high) {
  lanes.cdgh = _mm_sha256rnds2_epu32(lanes.cdgh, lanes.abef, schedule);
  lanes.abef = _mm_sha256rnds2_epu32(lanes.abef, lanes.cdgh, schedule_high);
}

MAD_SHA_TARGET __m128i round_constants(std::size_t group) {
  return _mm_load_si128(
      reinterpret_cast<const __m128i*>(k_sha256_round.data() + std::size_t{4} * group));
}

/// The last sixteen words of a message schedule, four at a time.
struct Schedule {
  __m128i w[4];
};

MAD_SHA_TARGET Schedule load_schedule(const std::byte* data) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  Schedule schedule;
  for (int i = 0; i < 4; ++i) {
    schedule.w[i] =
        _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), big_endian);
  }
  return schedule;
}

/// W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16], for the next four t.
MAD_SHA_TARGET void extend(Schedule& schedule, std::size_t group) {
  __m128i& w0 = schedule.w[group % 4];
  const __m128i& w1 = schedule.w[(group + 1) % 4];
  const __m128i& w2 = schedule.w[(group + 2) % 4];
  const __m128i& w3 = schedule.w[(group + 3) % 4];
  w0 = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)),
                            w3);
}

MAD_SHA_TARGET void prefetch(const std::byte* data) {
  _mm_prefetch(reinterpret_cast<const char*>(data) + k_prefetch_bytes, _MM_HINT_T0);
}

MAD_SHA_TARGET void add_lanes(Lanes& lanes, const Lanes& before) {
  lanes.abef = _mm_add_epi32(lanes.abef, before.abef);
  lanes.cdgh = _mm_add_epi32(lanes.cdgh, before.cdgh);
}

/// One 64-byte block into each of `Count` states.
template <int Count>
MAD_SHA_TARGET void compress(std::array<Lanes, Count>& states, const std::byte* data) {
  const std::array<Lanes, Count> before = states;
  Schedule schedule = load_schedule(data);
#pragma GCC unroll 16
  for (std::size_t group = 0; group < 16; ++group) {
    const __m128i words = _mm_add_epi32(schedule.w[group % 4], round_constants(group));
    const __m128i words_high = _mm_shuffle_epi32(words, 0x0E);
#pragma GCC unroll 3
    for (int i = 0; i < Count; ++i) four_rounds(states[i], words, words_high);
    if (group < 12) extend(schedule, group);
  }
#pragma GCC unroll 3
  for (int i = 0; i < Count; ++i) add_lanes(states[i], before[i]);
}

template <int Count>
MAD_SHA_TARGET void compress_all(std::array<Lanes, Count>& states, const std::byte* data,
                                 std::size_t blocks) {
  for (; blocks != 0; --blocks, data += 64) {
    prefetch(data);
    compress<Count>(states, data);
  }
}

template <int Count>
__attribute__((target("sha,sse4.1"))) void blocks_same_x86(Sha256State* const* states,
                                                           const std::byte* data,
                                                           std::size_t blocks) {
  std::array<Lanes, Count> lanes;
  for (int i = 0; i < Count; ++i) lanes[i] = load_lanes(*states[i]);
  compress_all<Count>(lanes, data, blocks);
  for (int i = 0; i < Count; ++i) store_lanes(lanes[i], *states[i]);
}

__attribute__((target("sha,sse4.1"))) void blocks_pair_x86(Sha256State& one, const std::byte* data,
                                                           Sha256State& two, const std::byte* other,
                                                           std::size_t blocks) {
  std::array<Lanes, 2> lanes = {load_lanes(one), load_lanes(two)};
  for (; blocks != 0; --blocks, data += 64, other += 64) {
    prefetch(data);
    prefetch(other);
    const std::array<Lanes, 2> before = lanes;
    std::array<Schedule, 2> schedules = {load_schedule(data), load_schedule(other)};
#pragma GCC unroll 16
    for (std::size_t group = 0; group < 16; ++group) {
      const __m128i constants = round_constants(group);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const __m128i words = _mm_add_epi32(schedules[i].w[group % 4], constants);
        four_rounds(lanes[i], words, _mm_shuffle_epi32(words, 0x0E));
        if (group < 12) extend(schedules[i], group);
      }
    }
    add_lanes(lanes[0], before[0]);
    add_lanes(lanes[1], before[1]);
  }
  store_lanes(lanes[0], one);
  store_lanes(lanes[1], two);
}

bool detect() {
  // gcc 12's __builtin_cpu_supports does not know "sha": leaf 7, EBX bit 29.
  unsigned eax = 7;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return __builtin_cpu_supports("sse4.1") && (ebx & (1U << 29U)) != 0;
}

}  // namespace

bool sha256_has_instructions() {
  static const bool present = detect();
  return present;
}
#else
bool sha256_has_instructions() {
  return false;
}
#endif

void sha256_blocks(Sha256State& state, const std::byte* data, std::size_t blocks) {
  Sha256State* const states[] = {&state};
  sha256_blocks_same(states, data, blocks);
}

void sha256_blocks_same(std::span<Sha256State* const> states, const std::byte* data,
                        std::size_t blocks) {
  if (blocks == 0) return;
#if defined(__x86_64__)
  if (sha256_has_instructions()) {
    switch (states.size()) {
      case 1:
        return blocks_same_x86<1>(states.data(), data, blocks);
      case 2:
        return blocks_same_x86<2>(states.data(), data, blocks);
      case 3:
        return blocks_same_x86<3>(states.data(), data, blocks);
      default:
        break;
    }
  }
#endif
  // A piece at a time, so that the next pass finds it in the cache.
  constexpr std::size_t k_piece_blocks = 256;
  while (blocks != 0) {
    const std::size_t now = std::min(blocks, k_piece_blocks);
    for (Sha256State* state : states) portable::sha256_blocks(*state, data, now);
    data += now * 64;
    blocks -= now;
  }
}

void sha256_blocks_pair(Sha256State& one, const std::byte* data, Sha256State& two,
                        const std::byte* other, std::size_t blocks) {
  if (blocks == 0) return;
#if defined(__x86_64__)
  if (sha256_has_instructions()) return blocks_pair_x86(one, data, two, other, blocks);
#endif
  portable::sha256_blocks(one, data, blocks);
  portable::sha256_blocks(two, other, blocks);
}

}  // namespace mad
