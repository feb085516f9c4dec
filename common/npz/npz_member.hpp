#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "npz/npy_header.hpp"

namespace mad {

enum class NpzMethod : std::uint16_t { stored = 0, deflated = 8 };

/// One array of an archive, as the auditor found it and held it to be true.
struct NpzMember {
  /// `node/field`: the member's name without `.npy`.  UTF-8.
  std::string key;
  NpzMethod method = NpzMethod::stored;
  std::uint64_t local_header_offset = 0;
  /// Offset in the archive of the member's first (maybe compressed) byte.
  std::uint64_t data_offset = 0;
  std::uint64_t compressed_bytes = 0;
  /// Of the whole `.npy`, its header included.
  std::uint64_t size_bytes = 0;
  std::uint32_t crc32 = 0;
  NpyHeader header;
};

/// Why `key` (`node/field`, without `.npy`) cannot be one, or an empty string.
/// The first `/` splits node and field and both are non-empty; no empty, `.` or
/// `..` component, no leading or trailing `/`, no NUL, no backslash, no control byte,
/// valid UTF-8, at most 1,024 bytes and 255 bytes a component (with `.npy`).
std::string key_defect(std::string_view key);

/// Whether a component of a key, or of its file's path in a state directory, begins with a
/// dot: NumPy reads such a key, a state directory shows no such file.
bool is_hidden(std::string_view path);

/// Whether the simulator's own bookkeeping: `_meta/…`.
bool is_meta_key(std::string_view key);

}  // namespace mad
