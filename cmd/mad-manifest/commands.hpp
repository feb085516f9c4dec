#pragma once

#include <string>
#include <vector>

#include "base/tool.hpp"

namespace mad {

/// The command line of mad-manifest.
struct ManifestOptions {
  ExitCode (*command)(const ManifestOptions& options, Tool& tool) = nullptr;
  std::string file;
  /// diff's second operand.
  std::string other;
  /// get's KEY.PATH.
  std::string key;
  bool json = false;

  // write
  std::string output;
  std::vector<std::string> extra;
  std::string extra_file;
  std::string session_id;
  std::string stage;
  std::string mode;
  std::string durability = "full";
  double lock_timeout_s = 10;
  bool force = false;
  bool skip_structure_check = false;
  bool upgrade = false;
};

// One function a subcommand; mad-manifest(1) is their contract.
ExitCode write_command(const ManifestOptions& options, Tool& tool);
ExitCode show_command(const ManifestOptions& options, Tool& tool);
ExitCode get_command(const ManifestOptions& options, Tool& tool);
ExitCode topology_command(const ManifestOptions& options, Tool& tool);
ExitCode diff_command(const ManifestOptions& options, Tool& tool);
ExitCode recover_command(const ManifestOptions& options, Tool& tool);

}  // namespace mad
