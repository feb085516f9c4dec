#include "manifest/topology.hpp"

#include "support/catch.hpp"

using mad::Topology;
using mad::test::error_from;
using Lines = std::vector<std::string>;

namespace {

Topology ball() {
  return {{"_meta/step_count", {"'<i8'", {}}},
          {"ball/pos", {"'<f8'", {2}}},
          {"ball/vel", {"'<f8'", {2}}},
          {"heat/a/b", {"[('x', '<f4'), ('y', '<i2', (3,))]", {6, 10}}}};
}

std::string defect_in_topology(const std::string& text) {
  const mad::Error error = error_from([&] { mad::parse_topology_json(text, "t.json"); });
  CHECK(error.code == mad::ExitCode::refused);
  CHECK(error.reason == "topology-invalid");
  CHECK(error.subject == "t.json");
  return error.message;
}

}  // namespace

TEST_CASE("topology_differences: the same topology has none, _meta aside") {
  CHECK(mad::topology_differences(ball(), ball()).empty());
  Topology other = ball();
  other.erase("_meta/step_count");
  CHECK(mad::topology_differences(ball(), other).empty());
  CHECK(mad::topology_differences(other, ball()).empty());
  other["_meta/step_count"] = {"'<u1'", {7}};
  CHECK(mad::topology_differences(ball(), other).empty());
}

TEST_CASE("topology_differences: every difference in a line of its own, sorted") {
  Topology found = ball();
  found.erase("heat/a/b");
  found.erase("ball/pos");
  found["ball/vel"] = {"'<f4'", {2, 1}};
  found["ball/spin"] = {"'<f8'", {}};
  found["wind/u"] = {"'<f8'", {}};
  CHECK(mad::topology_differences(ball(), found) ==
        Lines{"field 'ball/pos' is missing", "field 'ball/spin' is unexpected",
              "field 'ball/vel': dtype expected '<f8', found '<f4'",
              "field 'ball/vel': shape expected (2,), found (2, 1)", "node 'heat' is missing",
              "node 'wind' is unexpected"});
}

TEST_CASE("topology_differences: names cannot steer a terminal") {
  CHECK(mad::topology_differences({}, {{"a\x1B[2J/b", {"'<f8'", {}}}}) ==
        Lines{R"(node 'a\x1b[2J' is unexpected)"});
}

TEST_CASE("require_same_topology: the error lists all, with the topology's own code") {
  Topology found = ball();
  found.erase("heat/a/b");
  found["ball/vel"].shape = {3};
  mad::require_same_topology(ball(), ball(), "sim.npz");
  const mad::Error error =
      error_from([&] { mad::require_same_topology(ball(), found, "sim.npz"); });
  CHECK(error.code == mad::ExitCode::topology);
  CHECK(error.reason == "topology-mismatch");
  CHECK(error.message ==
        "the topology differs from the expected one\n"
        "field 'ball/vel': shape expected (2,), found (3,)\nnode 'heat' is missing");
}

TEST_CASE("format_topology_json: reads back the same") {
  CHECK(mad::format_topology_json({{"ball/vel", {"'<f8'", {2}}}, {"x/y", {"'<U3'", {}}}}) ==
        "{\n  \"ball/vel\": {\"dtype\": \"<f8\", \"shape\": [2]},\n"
        "  \"x/y\": {\"dtype\": \"<U3\", \"shape\": []}\n}\n");
  CHECK(mad::parse_topology_json(mad::format_topology_json(ball()), "t.json") == ball());
  CHECK(mad::parse_topology_json(mad::format_topology_json({}), "t.json").empty());
}

TEST_CASE("parse_topology_json: further keys of an array are ignored") {
  const Topology topology =
      mad::parse_topology_json(R"({"a/b": {"dtype": "<f8", "shape": [], "crc32": 5}})", "t.json");
  CHECK(topology.at("a/b").dtype == "'<f8'");
}

TEST_CASE("parse_topology_json: what is no topology is refused") {
  const std::string text = GENERATE(
      "", "[]", "{", "{} {}", R"({"ab": {"dtype": "<f8", "shape": []}})", R"({"a/b": 5})",
      R"({"/b": {"dtype": "<f8", "shape": []}})", R"({"a/": {"dtype": "<f8", "shape": []}})",
      R"({"a/b": {"shape": []}})", R"({"a/b": {"dtype": "", "shape": []}})",
      R"({"a/b": {"dtype": "<f8"}})", R"({"a/b": {"dtype": 8, "shape": []}})",
      R"({"a/b": {"dtype": "<f8", "shape": [-1]}})", R"({"a/b": {"dtype": "<f8", "shape": [1.0]}})",
      R"({"a/b": {"dtype": "<f8", "shape": 2}})",
      R"({"a/b": {"dtype": "<f8", "shape": []}, "a/b": {"dtype": "<f8", "shape": []}})",
      R"({"a/b": {"dtype": "<f8", "shape": [9223372036854775808]}})");
  defect_in_topology(text);
}
