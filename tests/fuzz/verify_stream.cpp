#include "verify/verify_stream.hpp"

#include <sys/mman.h>

#include "bundle/bundle_reader.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/npz.hpp"

// The filter: what it seals as verified is so.

namespace {

struct Sealed {
  std::string manifest;
  std::string npz;
  mad::Seal seal;
};

Sealed read_sealed(const std::string& bundle) {
  Sealed sealed;
  mad::fuzz::TextSource source(bundle, bundle.size() + 1);
  mad::BundleReader reader(source, mad::SealNeed::sealed, "output");
  using Kind = mad::BundleReader::Kind;
  for (Kind kind = reader.next(); kind != Kind::seal; kind = reader.next()) {
    if (kind == Kind::manifest) sealed.manifest = reader.text();
    if (kind == Kind::data) sealed.npz += mad::fuzz::read_rest(reader.part());
    if (kind == Kind::restart) sealed = {};
  }
  sealed.seal = reader.seal();
  return sealed;
}

}  // namespace

MAD_FUZZ_TARGET(verify_stream) {
  using mad::fuzz::require;
  const std::size_t choice = mad::fuzz::take_choice(input, 4);
  mad::VerifyOptions options;
  options.stream = (choice & 1U) != 0;
  options.unsealed = (choice & 2U) != 0;
  options.spool_dir = "/dev/shm";
  const mad::Fd output(memfd_create("output", MFD_CLOEXEC));
  mad::Report report;
  mad::ExitCode code = mad::ExitCode::ok;
  const bool refused = mad::fuzz::refuses([&] {
    mad::fuzz::TextSource source(input, 4096);
    code = mad::verify_stream(options, source, output.get(), report);
  });
  const Sealed sealed = read_sealed(mad::fuzz::bytes_of(output));
  using Stage = mad::Stage;
  if (refused) {
    require(sealed.seal.stage == Stage::failed, "a failure is sealed as one");
    return;
  }
  require((code == mad::ExitCode::ok) != (sealed.seal.stage == Stage::failed),
          "a failure is passed on as one");
  if (sealed.seal.stage != Stage::verified) {
    require(!mad::has_npz(sealed.seal.stage), "an npz is verified or not passed on");
    return;
  }
  const mad::Manifest manifest = mad::parse_manifest(sealed.manifest, "manifest");
  const mad::Digest digest = mad::Sha256::of(mad::as_bytes(sealed.npz));
  require(manifest.sha256 == digest && sealed.seal.sha256 == mad::to_hex(digest),
          "what is verified has the manifest's digest");
  require(sealed.seal.size_bytes == sealed.npz.size(), "what is verified has its size");
  const mad::Fd file = mad::fuzz::file_of(sealed.npz);
  const auto members = mad::audit_npz(file.get(), sealed.npz.size(), {}, "sim.npz");
  mad::check_npz_data(file.get(), members, "sim.npz");
}
