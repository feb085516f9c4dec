#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// What one array looks like.
struct ArrayType {
  /// NumPy's literal: `'<f8'` (npy_header.hpp's descr).
  std::string dtype;
  std::vector<std::uint64_t> shape;
  bool operator==(const ArrayType&) const = default;
};

/// The nodes and fields of a state with each field's dtype and shape, by key
/// (`node/field`).  `_meta/…` may be in it; comparisons leave it out.
using Topology = std::map<std::string, ArrayType>;

/// Every difference, one line each, sorted: `node 'heat' is missing`, `field
/// 'ball/vel': dtype expected '<f8', found '<f4'`, `… shape expected (2,), found (3,)`.
/// `_meta` is left out.  Empty where they match.
std::vector<std::string> topology_differences(const Topology& expected, const Topology& found);

/// Throws Error(topology, `topology-mismatch`) that lists every difference.
void require_same_topology(const Topology& expected, const Topology& found,
                           const std::string& subject);

/// A dtype for people and for JSON: `<f8` for NumPy's literal `'<f8'`; a structured
/// one as it is.
std::string format_dtype(const std::string& descr);
/// `(2, 3)`, `(3,)`, `()`.
std::string format_array_shape(const std::vector<std::uint64_t>& shape);

/// One array as JSON: {"dtype": "<f8", "shape": [2]}.
std::string format_array_type_json(const ArrayType& type);

/// Topology as JSON: {"ball/vel": {"dtype": "<f8", "shape": [2]}, …}.
std::string format_topology_json(const Topology& topology);
/// Untrusted; its size is the caller's to bound.  Unknown keys of an array are ignored.
/// Throws Error(refused, `topology-invalid`).
Topology parse_topology_json(std::string_view bytes, const std::string& subject);

}  // namespace mad
