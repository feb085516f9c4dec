#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "npz/npz_auditor.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

/// All that a manifest says of an npz.
struct NpzSurvey {
  FileDigests digests;
  NpzMembers members;
};

/// Digests an open npz of `size_bytes` and checks its structure, every CRC included, in one
/// pass over its bytes; an archive that cannot be followed in passing (NpzStreamAuditor) is
/// read once more.  Throws what audit_npz and check_npz_data throw.
NpzSurvey survey_npz(int npz, std::uint64_t size_bytes, const std::string& subject);

}  // namespace mad
