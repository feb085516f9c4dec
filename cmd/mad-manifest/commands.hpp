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

  // sign
  std::string key_path;

  bool no_sandbox = false;
};

/// From here on nothing can be opened but what stands beside `operands` (beneath those that are
/// directories), and nothing written but beside `outputs` and the report.
void confine(const ManifestOptions& options, const Tool& tool,
             const std::vector<std::string>& operands, const std::vector<std::string>& outputs);

// One function a subcommand; mad-manifest(1) is their contract.
ExitCode write_command(const ManifestOptions& options, Tool& tool);
ExitCode show_command(const ManifestOptions& options, Tool& tool);
ExitCode get_command(const ManifestOptions& options, Tool& tool);
ExitCode topology_command(const ManifestOptions& options, Tool& tool);
ExitCode diff_command(const ManifestOptions& options, Tool& tool);
ExitCode sign_command(const ManifestOptions& options, Tool& tool);
ExitCode recover_command(const ManifestOptions& options, Tool& tool);

}  // namespace mad
