#include <random>

#include "manifest/manifest.hpp"
#include "manifest/manifest_text.hpp"
#include "support/catch.hpp"
#include "support/mutated.hpp"

namespace {

const std::string k_seed =
    R"({"schema_version": 1, "sha256": )"
    R"("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size_bytes": 64,)"
    R"( "extra": {"n": [NaN, -Infinity, 1.5e-3], "s": "\ud800\u00e9\\é", "o": {"a": null, "a": {}}},)"
    R"( "created_at": "x", "step": -4, "x": [[], {"y": "\ud83d\ude00"}, true], "chunks":)"
    R"( {"algorithm": "sha256", "chunk_bytes": 64, "digests": )"
    R"(["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}})";

using namespace std::string_view_literals;

constexpr std::string_view k_bytes = "{}[]\",:\\u0d8N-Ie.1 \n\x00\x7F\x80\xC3\xED\xFF"sv;

}  // namespace

TEST_CASE("parse_manifest: whatever the bytes, the answer is a manifest or a refusal") {
  std::mt19937 random(20260131);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = mad::test::mutated(k_seed, k_bytes, random);
    try {
      const mad::Manifest manifest = mad::parse_manifest(text, "m.json");
      ++accepted;
      const mad::Manifest again = mad::parse_manifest(mad::format_manifest(manifest), "m.json");
      REQUIRE(again.extra == manifest.extra);
      REQUIRE_FALSE(mad::describe_manifest(text, "m.json").empty());
      std::size_t differing = 0;
      const auto count = [&](const mad::Difference&) { ++differing; };
      mad::manifest_differences(k_seed, text, count);
      differing = 0;
      mad::manifest_differences(text, text, count);
      REQUIRE(differing == 0);
    } catch (const mad::Error& error) {
      INFO(text);
      REQUIRE((error.code == mad::ExitCode::refused || error.code == mad::ExitCode::schema));
    }
  }
  // Else the loop above tried nothing but garbage.
  CHECK(accepted > 500);
  CHECK(accepted < 19'000);
}
