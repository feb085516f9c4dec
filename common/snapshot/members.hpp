#pragma once

#include <string>
#include <vector>

#include "manifest/member_table.hpp"
#include "npz/npz_auditor.hpp"

namespace mad {

/// The manifest's table of an audited archive.
MemberTable member_table_of(const NpzMembers& members);

/// Throws Error(refused, `members-mismatch`), naming the array, where the table says
/// anything else than the audited archive.
void require_same_members(const MemberTable& table, const NpzMembers& members,
                          const std::string& subject);

}  // namespace mad
