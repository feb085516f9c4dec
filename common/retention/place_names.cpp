#include "retention/place_names.hpp"

#include "io/file.hpp"
#include "snapshot/snapshot.hpp"

namespace mad {
namespace {

constexpr std::string_view k_npz_ending = ".npz";
constexpr std::string_view k_work_infix = ".mad-";
constexpr std::string_view k_digits = "0123456789";

bool take_ending(std::string_view& text, std::string_view ending) {
  if (text.size() < ending.size() || text.substr(text.size() - ending.size()) != ending) {
    return false;
  }
  text.remove_suffix(ending.size());
  return true;
}

bool is_npz_name(std::string_view name) {
  return name.size() > k_npz_ending.size() && take_ending(name, k_npz_ending) &&
         name.find('/') == std::string_view::npos;
}

bool take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return false;
  if (text.substr(text.size() - count).find_first_not_of(k_digits) != std::string_view::npos) {
    return false;
  }
  text.remove_suffix(count);
  return true;
}

/// `20260131T120000Z`, as utc_now_compact() writes it.
bool take_time(std::string_view& text) {
  return take_ending(text, "Z") && take_digits(text, 6) && take_ending(text, "T") &&
         take_digits(text, 8);
}

bool is_random_suffix(std::string_view text) {
  return text.size() == k_random_suffix_length &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567") == std::string_view::npos;
}

}  // namespace

std::string_view suffix_of(Part part) {
  constexpr std::array<std::string_view, k_parts> k_suffixes = {
      "", k_manifest_suffix, k_next_suffix, k_signature_suffix, k_next_signature_suffix};
  return k_suffixes[static_cast<std::size_t>(part)];
}

std::optional<PartName> parse_part_name(std::string_view name) {
  for (const Part part : k_every_part) {
    std::string_view npz = name;
    if (take_ending(npz, suffix_of(part)) && is_npz_name(npz)) {
      return PartName{std::string(npz), part};
    }
  }
  return std::nullopt;
}

std::optional<WorkName> parse_work_name(std::string_view name) {
  const auto at = name.rfind(k_work_infix);
  if (name.substr(0, 1) != "." || at == std::string_view::npos || at == 0) return std::nullopt;
  const std::string_view npz = name.substr(1, at - 1);
  const std::string_view ending = name.substr(at + k_work_infix.size());
  if (!is_npz_name(npz)) return std::nullopt;
  if (ending == "partial") return WorkName{std::string(npz), WorkKind::partial};
  if (ending == "partial.parts") return WorkName{std::string(npz), WorkKind::partial_journal};
  if (is_random_suffix(ending)) return WorkName{std::string(npz), WorkKind::temporary};
  return std::nullopt;
}

bool is_made_up_name(std::string_view npz_name) {
  constexpr std::size_t k_sequence_length = 10;
  std::string_view rest = npz_name;
  if (!is_npz_name(npz_name) || !take_ending(rest, k_npz_ending) || !take_time(rest) ||
      !take_ending(rest, "-")) {
    return false;
  }
  if (take_ending(rest, "-after-failed")) return !rest.empty();
  return take_digits(rest, k_sequence_length) && take_ending(rest, "-") && !rest.empty();
}

}  // namespace mad
