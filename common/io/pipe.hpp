#pragma once

#include <cstdint>
#include <string>

namespace mad {

/// Asks for a pipe buffer of 1 MiB, which saves context switches; does nothing
/// where `fd` is no pipe or the system refuses.
void widen_pipe(int fd);

/// Whether splice(2) failed because there is none for these descriptors, or a filter of system
/// calls refuses it: then the bytes can be copied.
bool is_without_splice(int error);

/// Refuses (code usage) to write a bundle to, or read one from, a terminal.
void refuse_terminal(int fd, const std::string& what);

/// Writes `length` bytes of a file from `offset` to `out`, a pipe or anything else, without
/// a copy where the kernel can pass the file's pages on (splice(2)): what the reader gets
/// is then what the file holds when it reads.  Returns how many there were, fewer only
/// where the file ends.  Throws system_error about `subject`, else as write_full.
std::uint64_t write_from_file(int out, int file, std::uint64_t offset, std::uint64_t length,
                              const std::string& subject);

}  // namespace mad
