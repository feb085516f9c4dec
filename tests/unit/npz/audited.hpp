#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "npz/npz_auditor.hpp"
#include "unit/npz/archive_builder.hpp"

// What the auditors say of an archive, from a file and in passing.
namespace mad::test {

struct Verdict {
  std::string reason;
  std::string what;
  NpzMembers members;
};

inline Verdict from_file(const std::string& bytes, const NpzLimits& limits = {}) {
  const Fd fd = file_of(bytes);
  try {
    auto members = audit_npz(fd.get(), bytes.size(), limits, "sim.npz");
    check_npz_data(fd.get(), members, "sim.npz");
    return {"", "", std::move(members)};
  } catch (const Error& error) {
    CHECK(error.code == ExitCode::refused);
    return {error.reason, error.what(), {}};
  }
}

/// Nothing where the auditor could not follow.
inline std::optional<Verdict> from_stream(const std::string& bytes, std::size_t piece,
                                          const NpzLimits& limits = {}) {
  NpzStreamAuditor auditor(limits, "sim.npz");
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    auditor.feed(as_bytes(std::string_view(bytes).substr(at, piece)));
  }
  if (!auditor.followable()) return std::nullopt;
  try {
    return Verdict{"", "", auditor.finish()};
  } catch (const Error& error) {
    CHECK(error.code == ExitCode::refused);
    return Verdict{error.reason, error.what(), {}};
  }
}

inline RawArchive two_arrays() {
  RawArchive archive;
  archive.members.resize(2);
  archive.members[1].name = "heat/field.npy";
  archive.members[1].npy = npy("'<f8'", "(3, 2)", std::string(48, 'x'));
  return archive;
}

inline std::string descriptor(const std::string& npy, bool signature, bool wide) {
  std::string out;
  if (signature) zip::put32(out, zip::k_descriptor_signature);
  zip::put32(out, crc32(0, as_bytes(npy)));
  for (int i = 0; i < 2; ++i) wide ? zip::put64(out, npy.size()) : zip::put32(out, npy.size());
  return out;
}

}  // namespace mad::test
