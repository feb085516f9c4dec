#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "snapshot/take_snapshot.hpp"

namespace mad {

/// The command line of mad-snapshot.
struct SnapshotCommand {
  std::string state;
  std::string output;
  std::vector<std::string> extra;
  std::string extra_file;
  std::string session_id;
  std::string stage = "preempted";
  std::vector<pid_t> pause;
  std::vector<std::string> first;
  bool compress = false;
  bool no_members = false;
  std::string durability = "full";
  std::string mode;
  double lock_timeout_s = 10;
  std::string save_dir;
  double server_timeout_s = 60;
  bool leave_paused = false;
  std::string name;
  std::string keep;
  std::string sign_key;
};

struct SnapshotResult {
  /// The npz, or the bundle's name for it.
  std::string path;
  TakenSnapshot taken;
  /// Written beside the snapshot that could not be read, not over it.
  bool after_failed = false;
  bool is_signed = false;
  /// Of a server's state: LiveState::runner(); else empty.
  std::string runner;
};

/// Publishes the snapshot as files.
SnapshotResult write_snapshot(const SnapshotCommand& command);

/// Writes it as a bundle to `fd`.  What fails in the middle of it is in the seal too.
SnapshotResult write_bundle(const SnapshotCommand& command, int fd);

}  // namespace mad
