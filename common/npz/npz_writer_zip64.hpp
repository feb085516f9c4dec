#pragma once

#include <cstdint>

#include "npz/npz_writer.hpp"
#include "npz/zip_format.hpp"

namespace mad {

// write_npz with ZIP64 from smaller values on, for tests of it.
std::uint64_t npz_size_bytes(const StateTree& tree, const zip::Zip64Thresholds& from);
std::vector<WrittenArray> write_npz(const StateTree& tree, NpzCompression compression,
                                    BufferedSink& sink, const NpzWatch& watch,
                                    const zip::Zip64Thresholds& from);

}  // namespace mad
