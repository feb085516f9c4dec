#include "exchange/partial_file.hpp"
#include "fuzz/fuzz.hpp"
#include "hash/sha256.hpp"

// What a killed fetch left beside its destination.

MAD_FUZZ_TARGET(partial_journal) {
  using mad::fuzz::require;
  constexpr std::uint64_t k_npz_bytes = 1000;
  const std::size_t there = mad::fuzz::take_choice(input, 5) * 300;
  const std::string npz = mad::fuzz::empty_directory() + "/sim.npz";
  // `@` for what no fuzzer finds: the first line, with the digest of the object's version.
  std::string journal(input);
  if (const auto at = journal.find('@'); at != std::string::npos) {
    const mad::Digest version = mad::Sha256::of(mad::as_bytes("version 1"));
    journal.replace(at, 1, "mad-partial 1 " + mad::to_hex(version) + " 1000\n");
  }
  const std::string place = npz.substr(0, npz.size() - 7) + ".sim.npz.mad-partial";
  mad::fuzz::write_file(place, std::string(there, 'x'));
  mad::fuzz::write_file(place + ".parts", journal);
  for (int i = 0; i < 2; ++i) {
    const auto partial = mad::PartialFile::open(npz, "version 1", k_npz_bytes);
    require(partial != nullptr, "what is left is taken up or begun anew");
    for (const mad::ByteRange& part : partial->parts().ranges()) {
      require(part.length > 0 && part.end() <= there && part.end() <= k_npz_bytes,
              "no part is promised that is not there");
    }
    if (i == 0 && !partial->parts().empty()) partial->add({0, 1});
  }
}
