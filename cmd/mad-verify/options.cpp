#include "options.hpp"

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "base/tool.hpp"

namespace mad {
namespace {

Trust parse_trust(const Options& options) {
  Trust trust;
  if (!options.not_before.empty()) {
    trust.not_before = parse_moment(options.not_before);
    if (!trust.not_before) {
      usage_error(
          "--not-before: expected a time such as 2026-01-31T12:00:00Z, or seconds since 1970");
    }
  }
  if (!options.min_step.empty()) {
    const auto step = parse_decimal(options.min_step);
    if (!step || *step > static_cast<std::uint64_t>(INT64_MAX)) {
      usage_error("--min-step: expected a whole number");
    }
    trust.min_step = static_cast<std::int64_t>(*step);
  }
  trust.key_paths = options.trusted_keys;
  return trust;
}

}  // namespace

void declare(CLI::App& app, Options& o) {
  app.description("Verify snapshots: a bundle from standard input to standard output, or FILEs.");
  app.add_option("FILE", o.files, "Snapshots to verify: an .npz, or its manifest");
  app.add_option("--manifest", o.manifest, "Take this manifest, not the one beside the file")
      ->type_name("PATH");
  app.add_option("--sha256", o.sha256, "Trust this digest instead of the manifest's")
      ->type_name("HEX");
  app.add_option("--expect", o.expect, "Require the topology of a JSON file, .npz or state")
      ->type_name("TOPOLOGY");
  app.add_option("--trusted-key", o.trusted_keys,
                 "Require a signature by this public key, or one in DIR (repeatable)")
      ->type_name("PEM|DIR");
  app.add_option("--not-before", o.not_before,
                 "Refuse a snapshot made earlier (RFC 3339, or seconds since 1970)")
      ->type_name("TIME");
  app.add_option("--min-step", o.min_step, "Refuse a snapshot of an earlier step")->type_name("N");
  app.add_option("--max-size", o.max_size, "Refuse more bytes than SIZE, packed or unpacked")
      ->type_name("SIZE");
  app.add_option("--spool-dir", o.spool_dir, "Where a stream without chunks is held back")
      ->type_name("DIR");
  app.add_flag("--stream", o.stream, "Pass bytes on at once; the seal alone vouches for them");
  app.add_flag("--all-cores", o.all_cores, "Check the manifest's chunks on all processors at once");
  app.add_flag("--unsealed", o.unsealed, "Take a pair tarred by hand, which has no seal");
  app.add_flag("--skip-integrity-check", o.skip_integrity_check, "Do without a manifest");
  app.add_flag("--no-sandbox", o.no_sandbox, "Keep every right of the process, to debug");
  app.add_option("--salvage", o.salvage, "Write what is intact of FILE to a new directory")
      ->type_name("DIR");
  app.add_flag("--json", o.json, "Print a JSON object for each FILE");
}

VerifyOptions parse(const Options& o) {
  VerifyOptions options;
  if (!o.manifest.empty()) options.manifest_path = o.manifest;
  if (!o.expect.empty()) options.expect_path = o.expect;
  if (!o.salvage.empty()) options.salvage_dir = o.salvage;
  options.spool_dir = o.spool_dir;
  options.stream = o.stream;
  options.unsealed = o.unsealed;
  options.skip_integrity_check = o.skip_integrity_check;
  options.json = o.json;
  options.all_cores = o.all_cores;
  if (!o.sha256.empty()) {
    options.sha256 = parse_hex_digest(o.sha256);
    if (!options.sha256) usage_error("--sha256: expected 64 lower-case hex digits");
  }
  if (!o.max_size.empty()) {
    options.max_bytes = parse_size(o.max_size);
    if (!options.max_bytes) usage_error("--max-size: expected a size such as 512M or 8G");
  }
  options.trust = parse_trust(o);
  if (options.skip_integrity_check &&
      (options.trust.wants_signature() || options.trust.wants_freshness())) {
    usage_error("--trusted-key, --not-before and --min-step need the integrity check");
  }
  if (options.all_cores && (options.sha256 || options.skip_integrity_check)) {
    usage_error(
        "--all-cores needs the manifest's chunks: neither --sha256 nor "
        "--skip-integrity-check goes with it");
  }
  if (options.sha256 && options.trust.wants_signature()) {
    usage_error("--sha256 and --trusted-key exclude each other");
  }
  return options;
}

}  // namespace mad
