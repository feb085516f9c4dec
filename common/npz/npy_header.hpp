#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/fd.hpp"

namespace mad {

/// The header of a `.npy` file (NumPy's format.py, versions 1.0, 2.0, 3.0).
struct NpyHeader {
  /// The dtype as NumPy's own literal, blanks normalised: `'<f8'`, or
  /// `[('x', '<f4'), ('y', '<i2', (3,))]` for a structured one.
  std::string descr;
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;
  std::uint64_t item_bytes = 0;
  /// Offset of the data: magic, version, length and padding included.
  std::uint64_t header_bytes = 0;
  /// item_bytes times the product of shape; fits 63 bits.
  std::uint64_t data_bytes = 0;
};

/// NumPy refuses to read a header text of more characters than this.
inline constexpr std::size_t k_max_npy_header_text = 10'000;
/// Enough bytes from the start of a file for parse_npy_header to see a whole header
/// (3.0 is in UTF-8).
inline constexpr std::size_t k_max_npy_header_bytes = 4 * k_max_npy_header_text + 12;
/// How many bytes of the start suffice to find out how many are needed.
inline constexpr std::size_t k_npy_preamble_bytes = 12;

/// How many bytes from the start parse_npy_header needs, told by the first
/// k_npy_preamble_bytes (fewer at the end of the file); at most
/// k_max_npy_header_bytes, whatever they say.
std::size_t npy_header_bytes_needed(Bytes preamble);

/// Parses the header at the start of `bytes`, which may go on with data.
///
/// Accepts what NumPy's reader accepts without pickling (latin-1 in 1.0, Python 2's
/// `(3L,)` included) and refuses the rest with Error(refused): `npy-object` for
/// dtypes that hold objects, `npy-invalid` for everything else.  `subject` names
/// the array in errors.
NpyHeader parse_npy_header(Bytes bytes, const std::string& subject);

/// `(2, 3)`, `(3,)`, `()`.
std::string format_shape(const std::vector<std::uint64_t>& shape);

}  // namespace mad
