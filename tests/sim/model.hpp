#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "state.hpp"

namespace sim {

/// Rows and columns of the heat field, which fix every other shape.
struct Extent {
  std::size_t rows, columns;
  bool operator==(const Extent&) const = default;
};

/// As near to `heat_bytes` of doubles as whole rows allow, never more.
Extent extent_for(std::size_t heat_bytes);

/// Every array of the state, `_meta/step_count` among them.
std::vector<Field> fields_of(Extent extent);

/// Step 0.
void initialise(const Buffer& state, Extent extent);

/// One step: reads all of `from`, writes all of `to`.  The same bits every time:
/// doubles, a fixed order of operations, no library function that may round
/// differently elsewhere.
void step(const Buffer& from, const Buffer& to, Extent extent);

std::int64_t step_count(const Buffer& state);

}  // namespace sim
