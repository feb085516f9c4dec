#include "trust_options.hpp"

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "base/tool.hpp"

namespace mad {

void declare_trust(CLI::App& app, TrustOptions& o) {
  app.add_option("--trusted-key", o.trusted_keys,
                 "Require a signature by this public key, or one in DIR (repeatable)")
      ->type_name("PEM|DIR");
  app.add_option("--not-before", o.not_before,
                 "Refuse a snapshot made earlier (RFC 3339, or seconds since 1970)")
      ->type_name("TIME");
  app.add_option("--min-step", o.min_step, "Refuse a snapshot of an earlier step")->type_name("N");
}

Trust parse_trust(const TrustOptions& options) {
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

}  // namespace mad
