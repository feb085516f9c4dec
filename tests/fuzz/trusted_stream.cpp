#include <sys/mman.h>

#include "bundle/bundle_reader.hpp"
#include "fuzz/fuzz.hpp"
#include "verify/verify_stream.hpp"

// The filter with a trusted key: no byte passes but behind a manifest that the key signed.

namespace {

// The public key of RFC 8032, section 7.1, TEST 1.
constexpr std::string_view k_trusted =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "-----END PUBLIC KEY-----\n";

struct PassedOn {
  std::string manifest;
  std::string signature;
  std::string npz;

  bool is_signed() const {
    const mad::PublicKey key = mad::parse_public_key(k_trusted, "trusted.pem");
    return mad::verifies(key.bytes, mad::as_bytes(manifest), signature);
  }
};

}  // namespace

MAD_FUZZ_TARGET(trusted_stream) {
  using mad::fuzz::require;
  const std::size_t choice = mad::fuzz::take_choice(input, 8);
  mad::VerifyOptions options;
  options.stream = (choice & 1U) != 0;
  options.unsealed = (choice & 2U) != 0;
  if ((choice & 4U) != 0) options.trust.min_step = 1;
  options.spool_dir = "/dev/shm";
  options.trust.key_paths = {mad::fuzz::empty_directory() + "/trusted.pem"};
  mad::fuzz::write_file(options.trust.key_paths[0], k_trusted);
  const mad::Fd output(memfd_create("output", MFD_CLOEXEC));
  mad::Report report;
  mad::fuzz::refuses([&] {
    mad::fuzz::TextSource source(input, 4096);
    mad::verify_stream(options, source, output.get(), report);
  });
  const std::string bundle = mad::fuzz::bytes_of(output);
  mad::fuzz::TextSource source(bundle, bundle.size() + 1);
  mad::BundleReader reader(source, mad::SealNeed::sealed, "output");
  using Kind = mad::BundleReader::Kind;
  PassedOn passed;
  for (Kind kind = reader.next(); kind != Kind::seal; kind = reader.next()) {
    if (kind == Kind::manifest) passed.manifest = reader.text();
    if (kind == Kind::signature) passed.signature = reader.text();
    if (kind == Kind::restart) passed = {};
    if (kind != Kind::data) continue;
    require(passed.is_signed(), "no byte passes before a good signature");
    passed.npz += mad::fuzz::read_rest(reader.part());
  }
  require(passed.manifest.empty() || passed.is_signed(), "nor does a manifest");
  if (reader.seal().stage == mad::Stage::verified) {
    require(passed.is_signed(), "what is verified is signed");
    require(reader.seal().checked.front() == "signature", "and the seal says so");
  }
}
