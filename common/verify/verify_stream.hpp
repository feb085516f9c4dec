#pragma once

#include "base/exit_code.hpp"
#include "base/report.hpp"
#include "io/source.hpp"
#include "verify/checks.hpp"

namespace mad {

/// The filter: a bundle from `source`, a sealed one to `output`.
///
/// With chunks in a manifest that comes first, each chunk is checked before it goes
/// on; else everything is spooled, checked, and then goes on; with `stream` bytes go
/// on at once.  The `verified` seal is written only when every check held; whatever
/// throws an Error here leaves a `failed` one behind.  An `absent` or `failed` bundle is
/// passed on as it is.  Returns ok, or the code of a failure that was passed on.
ExitCode verify_stream(const VerifyOptions& options, Source& source, int output, Report& report);

}  // namespace mad
