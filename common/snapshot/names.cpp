#include "snapshot/names.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "snapshot/publish.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

constexpr std::string_view k_npz_suffix = ".npz";
constexpr std::size_t k_sequence_digits = 10;
constexpr std::uint64_t k_last_sequence = 9'999'999'999;

/// The number of `<stem>-<10 digits>-…`, whatever follows.
std::optional<std::uint64_t> sequence_of(std::string_view name, std::string_view stem) {
  if (name.size() < stem.size() + k_sequence_digits + 2 || name.substr(0, stem.size()) != stem ||
      name[stem.size()] != '-' || name[stem.size() + 1 + k_sequence_digits] != '-') {
    return std::nullopt;
  }
  return parse_decimal(name.substr(stem.size() + 1, k_sequence_digits));
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

}  // namespace

std::string stem_of(std::string_view npz_name) {
  if (ends_with(npz_name, k_npz_suffix)) npz_name.remove_suffix(k_npz_suffix.size());
  return std::string(npz_name);
}

std::optional<std::string> newest_name(const std::vector<std::string>& entries,
                                       const std::string& stem) {
  std::optional<std::string> newest;
  for (const std::string& entry : entries) {
    if (ends_with(entry, k_npz_suffix) && sequence_of(entry, stem)) {
      newest = std::max(newest, std::optional(entry));
    }
  }
  return newest;
}

std::vector<std::string> interrupted_names(const std::vector<std::string>& entries,
                                           const std::string& stem) {
  std::vector<std::string> names;
  for (const std::string& entry : entries) {
    for (const std::string_view suffix : {k_next_suffix, k_next_signature_suffix}) {
      if (!ends_with(entry, suffix) || !sequence_of(entry, stem)) continue;
      names.push_back(entry.substr(0, entry.size() - suffix.size()));
    }
  }
  return names;
}

std::string next_name_in(const std::string& directory, const std::string& stem) {
  std::uint64_t highest = 0;
  const Fd opened = open_directory(directory);
  // Whatever bears a number has used it: a lone manifest, too.
  for (const std::string& name : list_directory(opened.get(), directory)) {
    highest = std::max(highest, sequence_of(name, stem).value_or(0));
  }
  if (highest == k_last_sequence) {
    throw Error(ExitCode::io, "io-error", printable(directory),
                "the sequence of '" + printable(stem) + "' has no number left");
  }
  std::string number = std::to_string(highest + 1);
  number.insert(0, k_sequence_digits - number.size(), '0');
  const std::string separator = ends_with(directory, "/") ? "" : "/";
  return directory + separator + stem + '-' + number + '-' + utc_now_compact() +
         std::string(k_npz_suffix);
}

bool resume_failed() {
  const char* status = std::getenv("MAD_RESUME_STATUS");
  return status != nullptr && std::string_view(status) == "failed";
}

std::string after_failed_name(const std::string& npz_path) {
  return stem_of(npz_path) + "-after-failed-" + utc_now_compact() + std::string(k_npz_suffix);
}

void warn_of_spared(const std::string& kept, const std::string& written) {
  log_warning(kept +
              ": not replaced, since the resume from it may be what failed "
              "(MAD_RESUME_STATUS=failed); writing " +
              written);
}

std::string spare_the_unread_snapshot(const std::string& npz_path) {
  struct ::stat found {};
  if (!resume_failed() || lstat(npz_path.c_str(), &found) != 0) return npz_path;
  std::string spared = after_failed_name(npz_path);
  warn_of_spared(printable(npz_path), printable(spared));
  return spared;
}

}  // namespace mad
