#pragma once

#include <cstdint>
#include <string>

#include "npz/npy_literal.hpp"

namespace mad {

/// A dtype as the `descr` of a `.npy` header gives it.
struct NpyDtype {
  /// As NumPy writes it: `'<f8'`, `[('x', '<f4'), ('', '|V4')]`.
  std::string text;
  /// NumPy keeps it in a C int, and reads a longer one as something else.
  std::uint64_t item_bytes = 0;
};

/// Reads a type string, a list of fields or a `(dtype, shape)` pair, as
/// numpy.lib.format.descr_to_dtype does.  Type strings are those of the array
/// interface (`<f8`, `|S5`, `<M8[25s]`), which is what NumPy writes; not `float64`
/// or `i4,f8`.  Throws Error(refused): `npy-object`, `npy-invalid`.
NpyDtype read_npy_dtype(const PythonLiteral& descr, const std::string& subject);

}  // namespace mad
