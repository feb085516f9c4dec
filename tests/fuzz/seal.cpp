#include <optional>

#include "bundle/bundle.hpp"
#include "fuzz/fuzz.hpp"

// A bundle's last member.

MAD_FUZZ_TARGET(seal) {
  using mad::fuzz::require;
  std::optional<mad::Seal> seal;
  mad::fuzz::refuses([&] { seal = mad::parse_seal(input, "stream"); });
  if (!seal) return;
  const std::string text = mad::format_seal(*seal);
  const mad::Seal again = mad::parse_seal(text, "stream");
  require(again.stage == seal->stage && again.tool == seal->tool && again.code == seal->code &&
              again.size_bytes == seal->size_bytes && again.sha256 == seal->sha256 &&
              again.checked == seal->checked && again.reason == seal->reason &&
              again.message == seal->message,
          "a seal written again is the same");
  require(mad::format_seal(again) == text, "what is written is written so again");
  if (seal->stage == mad::Stage::failed) {
    mad::fuzz::refuses([&] { throw mad::error_of(*seal); });
  }
}
