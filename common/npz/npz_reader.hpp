#pragma once

#include <memory>
#include <string>

#include "io/source.hpp"
#include "npz/npz_member.hpp"

namespace mad {

/// The bytes of one member's `.npy`, unpacked, from an audited archive.  The end is
/// reported only when length and CRC-32 were right: the last read() throws
/// Error(refused, `member-crc`) otherwise.  `archive` must outlive it.
std::unique_ptr<Source> open_member(int archive, const NpzMember& member,
                                    const std::string& subject);

}  // namespace mad
