#include "exchange/pair_writer.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "bundle/bundle.hpp"

namespace mad {
namespace {

using Condition = PutOptions::Condition;

/// Of writers that take turns; one that loses so often has company that it should not have.
constexpr int k_most_turns = 5;
constexpr std::size_t k_max_small_bytes = std::max(k_max_manifest_bytes, k_max_signature_bytes);

PutOptions small_options() {
  PutOptions options;
  options.content_type = "application/json";
  return options;
}

}  // namespace

bool is_denied(const Error& error) {
  return error.reason == "access-denied";
}

Error lost_race_error(const Url& url) {
  return {ExitCode::remote, "lost-race", display_url(url),
          "another writer replaced it while this snapshot was on its way",
          "two writers of one URL exclude each other; give each its own"};
}

bool PairWriter::has_conditions() const {
  const Capabilities store = small_.capabilities();
  return is_seeing_ && store.conditional_put && store.conditional_upload;
}

std::string PairWriter::put(const Url& url, const std::string& text) {
  try {
    if (const auto info = small_.put(url, as_bytes(text), small_options())) return info->version;
  } catch (const Error& error) {
    const bool is_signed = !names_object(url.scheme) && !url.query.empty();
    if (!is_denied(error) || !is_signed || apart_) throw;
    throw Error(error.code, error.reason, error.subject, error.message,
                "a signed URL may be good for one object only; --manifest-url gives the "
                "manifest's");
  }
  throw Error(ExitCode::remote, "http-status", display_url(url),
              "the store refuses it for a condition that was not asked for");
}

bool PairWriter::put_in_place_of(const std::optional<SmallObject>& seen, const Url& url,
                                 const std::string& text) {
  if (!has_conditions() || (seen && seen->version.empty())) {
    put(url, text);
    return true;
  }
  PutOptions options = small_options();
  options.condition = seen ? Condition::if_version : Condition::if_absent;
  if (seen) options.version = seen->version;
  if (small_.put(url, as_bytes(text), options)) return true;
  // An answer that was lost, or a writer that completed what looked like a dead one's.
  const auto found = get_small(small_, url, k_max_small_bytes);
  return found && found->text == text;
}

void PairWriter::require_own_npz() {
  if (!is_seeing_ || npz_.version.empty()) return;
  std::optional<ObjectInfo> present;
  try {
    present = store_.stat(names_.npz);
  } catch (const Error& error) {
    if (!is_denied(error)) throw;
    log_verbose(error.one_line() + "; whose npz is there is not looked at");
    return;
  }
  if (!present || present->version != npz_.version) throw lost_race_error(names_.npz);
}

void PairWriter::put_beside_npz(std::optional<SmallObject> seen, const Url& url,
                                const std::string& text) {
  if (!has_conditions()) require_own_npz();
  for (int turn = 0; !put_in_place_of(seen, url, text); ++turn) {
    if (turn == k_most_turns) throw lost_race_error(names_.npz);
    seen = seen_beside_npz(url);
  }
}

void PairWriter::put_beside_npz(const Url& url, const std::string& text) {
  put_beside_npz(has_conditions() ? seen_beside_npz(url) : std::nullopt, url, text);
}

void PairWriter::remove_beside_npz(const Url& url) {
  if (!is_seeing_) return remove_if_allowed(url, {});
  if (const auto seen = seen_beside_npz(url)) remove_if_allowed(url, seen->version);
}

/// First it, and then the npz: a writer that replaced both later has changed it since.
std::optional<SmallObject> PairWriter::seen_beside_npz(const Url& url) {
  auto seen = get_small_if_allowed(small_, url, k_max_small_bytes);
  require_own_npz();
  return seen;
}

void PairWriter::remove_if_allowed(const Url& url, const std::string& version) {
  try {
    if (version.empty()) {
      store_.remove(url);
    } else {
      store_.remove_version(url, version);
    }
  } catch (const Error& error) {
    if (!is_denied(error)) throw;
    log_verbose(error.one_line() + "; it stays, if it is there");
  }
}

}  // namespace mad
