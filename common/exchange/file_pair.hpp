#pragma once

#include <optional>
#include <string>

#include "exchange/fetch.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {

/// fetch_snapshot for a pair on this machine's disks, through open_snapshot.
///
/// A file that changes in place while it is read is noticed, and the pair read again;
/// one that is replaced meanwhile is read to its end as it was opened.
void fetch_file_pair(const std::string& npz_path, const FetchRequest& request, Delivery& delivery,
                     Report& report);

/// The snapshot's signature; one that is too long to be any is warned of and taken for none.
std::optional<std::string> signature_of(const OpenSnapshot& snapshot);

/// There is nothing to fetch: tells the delivery, the report and the log.
void report_absent(Delivery& delivery, Report& report, const std::string& reason,
                   const std::string& message);

}  // namespace mad
