#pragma once

#include <cstdint>
#include <string>

#include "npz/npz_auditor.hpp"
#include "npz/zip_format.hpp"

namespace mad {

/// Where the audit finds what stands outside the directory: a file, or the notes
/// taken while the bytes passed by.
class MemberRecords {
 public:
  virtual ~MemberRecords() = default;
  /// The local header of the member that comes at place `index` in the archive.
  virtual zip::LocalHeader local(std::size_t index, const zip::CentralEntry& entry,
                                 const std::string& subject) = 0;
  /// The array's header, from the member's first bytes.
  virtual NpyHeader npy(std::size_t index, const NpzMember& member, const std::string& subject) = 0;
  /// Bytes between a member's data and what follows (at most 24).
  virtual std::string between(std::uint64_t offset, std::size_t length) = 0;
};

/// Refuses (`too-large`) what is beyond the limits before it is read.
void check_limits(const zip::EndRecord& end, std::uint64_t size_bytes, const NpzLimits& limits,
                  const std::string& subject);

/// The whole audit, given the directory's bytes; its members account for every
/// byte before the directory.
NpzMembers audit_members(Bytes directory, const zip::EndRecord& end, const NpzLimits& limits,
                         MemberRecords& records, const std::string& subject);

/// Refuses (`too-large`) what is beyond the limits of dtypes and shapes.
void check_header_limits(const NpyHeaders& headers, const NpzLimits& limits,
                         const std::string& subject);

/// `sim.npz: ball/x.npy`.
std::string member_subject(const std::string& subject, const NpzMember& member);

/// Throws `member-crc` where the two differ.
void check_crc(std::uint32_t expected, std::uint32_t found, const std::string& subject);

}  // namespace mad
