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
/// on at once.  Where options.trust asks for a signature, nothing at all goes on before it
/// was checked, and data that comes before it is spooled.  options.confine is called before
/// the first byte is read; nothing is opened after that.
///
/// The `verified` seal is written only when every check held; whatever throws an Error here
/// leaves a `failed` one behind.  An `absent` or `failed` bundle is passed on as it is.
/// Returns ok, or the code of a failure that was passed on.
ExitCode verify_stream(const VerifyOptions& options, Source& source, int output, Report& report);

}  // namespace mad
