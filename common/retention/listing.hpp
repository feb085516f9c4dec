#pragma once

#include <string>
#include <vector>

#include "base/exit_code.hpp"
#include "base/report.hpp"
#include "retention/place.hpp"

namespace mad {

enum class ListFormat { text, json };

struct ListRequest {
  ListFormat format = ListFormat::text;
  /// Read each snapshot whole (Place::check).
  bool check = false;
};

/// What is in the place to standard output, the newest first (mad-list(1)).  With a check,
/// the lowest non-zero code of all that are wrong, or cannot be read.
ExitCode list_place(Place& place, const ListRequest& request, Report& report);

/// The outcome of a check; nothing where there was none.
enum class ListedCheck { not_made, right, wrong };

/// One JSON object on one line.
std::string format_listed_json(const PlacedSnapshot& snapshot, const std::string& path,
                               ListedCheck check);

/// A table for people: its columns as wide as what is in them.
std::string format_listed_text(const std::vector<PlacedSnapshot>& snapshots,
                               const std::vector<ListedCheck>& checks);

}  // namespace mad
