#pragma once

namespace mad {

/// The exit codes of every tool: a stable contract, described in mad(7).
enum class ExitCode : int {
  ok = 0,             ///< all that the command claims was done and checked
  refused = 1,        ///< bytes, structure or manifest disagree
  usage = 2,          ///< nothing was opened
  schema = 3,         ///< schema version outside the readable window
  topology = 4,       ///< the state's nodes, fields, dtypes or shapes differ
  not_found = 5,      ///< the snapshot, or its manifest
  incomplete = 6,     ///< an earlier stage failed or the stream was cut
  remote = 7,         ///< remote failure after retries
  access_denied = 8,  ///< or no credentials
  io = 9,             ///< local I/O: no space, no permission
  deadline = 10,      ///< the deadline passed
  signature = 11,     ///< missing or not trusted
  no_provider = 12,   ///< no cloud's metadata service is here
  bug = 70,           ///< a bug in the tool

  // mad-resume only, as env(1) and nohup(1) have them.
  start_refused = 125,
  cannot_execute = 126,
  command_not_found = 127,
};

}  // namespace mad
