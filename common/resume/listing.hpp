#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "manifest/topology.hpp"

namespace mad {

/// What is in a state directory, as a resume sees it: its arrays, which it replaces, and
/// everything else, which it leaves as it is.
///
/// An array is a regular file `NODE/…/FIELD.npy`, no component of its path beginning
/// with a dot.  Unlike StateTree, which a snapshot is taken from, this tolerates what is
/// no array: a README beside the nodes must not keep a server from resuming.
/// Paths are relative to the directory, sorted bytewise.
struct StateListing {
  /// `node/field.npy`.
  std::map<std::string, struct ::stat> arrays;
  /// Directories that hold an array, at any depth.
  std::map<std::string, struct ::stat> nodes;
  /// The rest, a directory without any array under it standing for all that is in it.
  std::vector<std::string> others;
  /// Whether something is mounted on a directory inside.
  bool has_mounts = false;
};

/// `subject` is the path of the directory.  Throws system_error.
StateListing list_state(int directory, const std::string& subject);

/// The topology of a listing's arrays, by reading their headers.  Throws Error(refused,
/// `npy-invalid` …) naming the array.
Topology topology_of(int directory, const StateListing& listing, const std::string& subject);

}  // namespace mad
