#include "verify/verdict.hpp"

#include "support/catch.hpp"
#include "verify/checks.hpp"

using namespace mad;

namespace {

Verdict bad_verdict() {
  Verdict verdict;
  verdict.path = "sim.npz";
  verdict.findings = {{"schema", CheckResult::ok, "", "", "version 1"},
                      {"size", CheckResult::bad, "10 bytes", "9 bytes", "1 byte shorter"},
                      {"sha256", CheckResult::not_checked, "", "", ""}};
  verdict.size_bytes = 9;
  verdict.error = size_mismatch("sim.npz", 10, 9);
  return verdict;
}

}  // namespace

TEST_CASE("format_verdict: a line a check, the rest of a bad one below it") {
  CHECK(format_verdict(bad_verdict()) ==
        "sim.npz\n"
        "  schema     ok   version 1\n"
        "  size       BAD  expected 10 bytes\n"
        "                  found    9 bytes\n"
        "                  1 byte shorter\n"
        "  sha256     -    \n"
        "  NOT VERIFIED: size-mismatch, exit code 1\n");
}

TEST_CASE("format_verdict: a skipped check is not called verified") {
  Verdict verdict;
  verdict.path = "sim.npz";
  CHECK(format_verdict(verdict) == "sim.npz\n  verified\n");
  verdict.integrity_skipped = true;
  CHECK(format_verdict(verdict).find("verified") == std::string::npos);
  CHECK(format_verdict_json(verdict).find("\"status\":\"unverified\"") != std::string::npos);
}

TEST_CASE("format_verdict_json: says the same on one line") {
  CHECK(
      format_verdict_json(bad_verdict()) ==
      R"({"version":1,"path":"sim.npz","status":"not-verified","code":1,"reason":"size-mismatch",)"
      R"("subject":"sim.npz","message":"size mismatch: expected 10 bytes, found 9",)"
      R"("size_bytes":9,"checks":[{"check":"schema","result":"ok","detail":"version 1"},)"
      R"({"check":"size","result":"bad","expected":"10 bytes","found":"9 bytes",)"
      R"("detail":"1 byte shorter"},{"check":"sha256","result":"not-checked"}]})"
      "\n");
}

TEST_CASE("size_mismatch: says by how much, and what to do") {
  CHECK(size_mismatch("x", 5000, 904).hint ==
        "the file is 4096 bytes shorter than the manifest says; fetch it again");
  CHECK(size_mismatch("x", 1, 2).hint ==
        "the file is 1 byte longer than the manifest says; fetch it again");
}

TEST_CASE("sha256_mismatch: shows both digests, one below the other") {
  const Digest zero{};
  CHECK(sha256_mismatch("x", "--sha256", zero, zero).message ==
        "SHA-256 mismatch\n--sha256: " + to_hex(zero) + "\nfile:     " + to_hex(zero));
  CHECK(sha256_mismatch("x", "manifest", zero, zero).code == ExitCode::refused);
}
