#pragma once

#include <string>

namespace mad {

/// Writes a report where --report says; nothing where `path` is empty.
///
/// A file is never seen half-written, and no link is followed out of a directory that others
/// write to: a temporary beside it, then a rename.  What is no file keeps its place and is written
/// into: /dev/stdout, /dev/stderr and /dev/fd/N are this process's descriptors, a FIFO that
/// somebody reads and a character device are opened.  What fails is warned of.
void write_report_file(const std::string& path, const std::string& text);

}  // namespace mad
