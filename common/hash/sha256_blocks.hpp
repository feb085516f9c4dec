#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mad {

/// SHA-256's eight chaining words, as integers (FIPS 180-4, 6.2).
using Sha256State = std::array<std::uint32_t, 8>;

/// Runs the compression function over `blocks` blocks of 64 bytes: with the SHA
/// instructions where the processor has them, through OpenSSL otherwise.
void sha256_blocks(Sha256State& state, const std::byte* data, std::size_t blocks);

/// The same blocks into one, two or three states at once.  The message schedule is computed
/// once, and the rounds of one state fill the latency of the others'.
void sha256_blocks_same(std::span<Sha256State* const> states, const std::byte* data,
                        std::size_t blocks);

/// Blocks of their own into two states at once: half as long again as one alone takes.
void sha256_blocks_pair(Sha256State& one, const std::byte* data, Sha256State& two,
                        const std::byte* other, std::size_t blocks);

/// Whether the SHA instructions are in use; for reports and tests.
bool sha256_has_instructions();

namespace portable {
void sha256_blocks(Sha256State& state, const std::byte* data, std::size_t blocks);
}

}  // namespace mad
