#pragma once

#include <cstddef>
#include <span>

#include "hash/sha256_blocks.hpp"

namespace mad {

/// How many states sha256_blocks_avx512() takes; it costs the same for fewer.
inline constexpr std::size_t k_avx512_lanes = 16;

/// Whether it may be called, and is faster than the SHA instructions: they take Intel's
/// processors three cycles each, and AMD's two.
bool sha256_gains_by_avx512();

/// `blocks` blocks of 64 bytes of their own into each of at most k_avx512_lanes states (FIPS
/// 180-4, 6.2.2), a lane of the registers each.
void sha256_blocks_avx512(std::span<Sha256State* const> states,
                          std::span<const std::byte* const> data, std::size_t blocks);

}  // namespace mad
