#include <sys/mman.h>

#include <optional>

#include "bundle/bundle_reader.hpp"
#include "bundle/bundle_writer.hpp"
#include "fuzz/fuzz.hpp"

// The reader of bundles, against the writer.

namespace {

using mad::BundleReader;

/// What a bundle said after its last restart.
struct Content {
  std::string name;
  std::optional<std::string> manifest;
  std::optional<std::string> signature;
  std::string npz;
  mad::Seal seal;
};

std::optional<Content> read_bundle(std::string_view bundle, mad::SealNeed need,
                                   std::size_t portion_bytes) {
  using mad::fuzz::require;
  Content content;
  const bool refused = mad::fuzz::refuses([&] {
    mad::fuzz::TextSource source(bundle, portion_bytes);
    BundleReader reader(source, need, "stream");
    for (BundleReader::Kind kind = reader.next(); kind != BundleReader::Kind::seal;
         kind = reader.next()) {
      if (kind == BundleReader::Kind::manifest) {
        content.manifest = reader.text();
      } else if (kind == BundleReader::Kind::signature) {
        content.signature = reader.text();
      } else if (kind == BundleReader::Kind::data) {
        content.npz += mad::fuzz::read_rest(reader.part());
        require(reader.part_bytes_left() == 0, "a part is read to its end");
      } else {
        content = {};
      }
      require(reader.npz_bytes() == content.npz.size(), "the npz's bytes are counted");
      if (kind == BundleReader::Kind::restart) continue;
      require(mad::bundle_name(reader.name()) == reader.name(), "a bundle's name is one");
      content.name = reader.name();
    }
    content.seal = reader.seal();
  });
  return refused ? std::nullopt : std::optional(content);
}

std::string write_bundle(const Content& content) {
  const mad::Fd file(memfd_create("bundle", MFD_CLOEXEC));
  mad::BundleWriter writer(file.get(), content.name);
  if (content.manifest) writer.manifest(*content.manifest);
  if (content.signature) writer.signature(*content.signature);
  writer.write(mad::as_bytes(content.npz));
  writer.seal(content.seal);
  return mad::fuzz::bytes_of(file);
}

bool same_content(const Content& a, const Content& b) {
  return a.manifest == b.manifest && a.signature == b.signature && a.npz == b.npz &&
         mad::format_seal(a.seal) == mad::format_seal(b.seal);
}

}  // namespace

MAD_FUZZ_TARGET(bundle) {
  using mad::fuzz::require;
  static_cast<void>(read_bundle(input, mad::SealNeed::unsealed, 512));
  const auto content = read_bundle(input, mad::SealNeed::sealed, input.size() + 1);
  const auto in_pieces = read_bundle(input, mad::SealNeed::sealed, 7);
  require(content.has_value() == in_pieces.has_value(), "how the bytes come does not matter");
  if (!content) return;
  require(same_content(*content, *in_pieces), "how the bytes come changes nothing");
  if (content->name.empty()) return;
  const auto again = read_bundle(write_bundle(*content), mad::SealNeed::sealed, 4096);
  require(again && same_content(*again, *content), "a bundle written again is the same");
}
