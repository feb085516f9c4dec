#pragma once

#include <string>
#include <vector>

#include "base/report.hpp"
#include "verify/checks.hpp"
#include "verify/verdict.hpp"

namespace mad {

/// Verifies the snapshot at `path` (its npz, or its manifest).  Every check that can be
/// made is made, also after one has failed: where the digest is wrong, the structure's
/// CRCs tell where.  options.trust's keys have been read.  One thread hashes while another checks
/// the CRCs.
Verdict verify_file(const VerifyOptions& options, const std::string& path);

/// verify_file for each, its verdict on standard output and its error on standard
/// error.  The lowest non-zero code of all.
ExitCode verify_files(const VerifyOptions& options, const std::vector<std::string>& paths,
                      Report& report);

}  // namespace mad
