#include "hash/ed25519.hpp"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

using test::error_from;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

Ed25519Key key_of(std::string_view hex) {
  Ed25519Key key{};
  const std::string bytes = from_hex(hex);
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

struct KnownAnswer {
  std::string_view seed, public_key, message, signature;
};

// RFC 8032, section 7.1: TEST 1, TEST 2, TEST 3, TEST SHA(abc).
const std::vector<KnownAnswer> k_rfc8032 = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6594a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "bbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e"
     "0303dca179c138ac17ad9bef1177331a704"},
};

// The key of TEST 1, as RFC 8410 puts it into PEM (section 10 shows the form).
const std::string k_private_pem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
const std::string k_public_pem =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "-----END PUBLIC KEY-----\n";

}  // namespace

TEST_CASE("Ed25519: gives the known answers of RFC 8032") {
  for (const KnownAnswer& known : k_rfc8032) {
    const SigningKey key(key_of(known.seed));
    const std::string message = from_hex(known.message);
    const std::string signature = from_hex(known.signature);
    CHECK(key.sign(as_bytes(message)) == signature);
    CHECK(verifies(key.public_key(), as_bytes(message), signature));
    CHECK(key.public_key() == key_of(known.public_key));
  }
}

TEST_CASE("verifies: not with one bit changed, anywhere, nor with another length") {
  const KnownAnswer& known = k_rfc8032[2];
  const Ed25519Key key = key_of(known.public_key);
  const std::string message = from_hex(known.message);
  const std::string signature = from_hex(known.signature);
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    std::string changed = signature;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    CHECK_FALSE(verifies(key, as_bytes(message), changed));
  }
  CHECK_FALSE(verifies(key, as_bytes(message + '\0'), signature));
  CHECK_FALSE(verifies(key, as_bytes("\xAF"), signature));
  CHECK_FALSE(verifies(key_of(k_rfc8032[0].public_key), as_bytes(message), signature));
  for (const std::string& other :
       {std::string(), signature.substr(1), signature.substr(0, 63), signature + '\0'}) {
    CHECK_FALSE(verifies(key, as_bytes(message), other));
  }
}

// RFC 8032, section 5.1.7: S is below the order of the group, or one signature would have others.
TEST_CASE("verifies: a signature whose S had the group's order added is none") {
  const KnownAnswer& known = k_rfc8032[1];
  const std::string order =
      from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  std::string signature = from_hex(known.signature);
  unsigned carry = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    carry += static_cast<unsigned char>(signature[32 + i]) + static_cast<unsigned char>(order[i]);
    signature[32 + i] = static_cast<char>(carry);
    carry >>= 8U;
  }
  CHECK_FALSE(verifies(key_of(known.public_key), as_bytes(from_hex(known.message)), signature));
}

TEST_CASE("parse_signing_key, parse_public_key: the two halves of a pair in PEM") {
  const SigningKey key = parse_signing_key(k_private_pem, "key.pem");
  CHECK(key.public_key() == key_of(k_rfc8032[0].public_key));
  const PublicKey half = parse_public_key("a comment\n" + k_public_pem, "public.pem");
  CHECK(half.bytes == key.public_key());
  CHECK(half.subject == "public.pem");
}

TEST_CASE("parse_signing_key: what is no such key is said by name") {
  const auto refused = [](const std::string& pem) {
    const Error error = error_from([&] { parse_signing_key(pem, "key.pem"); });
    CHECK(error.code == ExitCode::signature);
    CHECK(error.reason == "key-invalid");
    CHECK(error.subject == "key.pem");
    return error.message;
  };
  CHECK(refused("").find("found no PEM") != std::string::npos);
  CHECK(refused(k_public_pem).find("found a public one") != std::string::npos);
  CHECK(refused(k_private_pem + k_private_pem).find("found more than one") != std::string::npos);
  CHECK(refused(k_private_pem.substr(0, 80)).find("cannot be read") != std::string::npos);
  CHECK(refused(std::string(20'000, '-')).find("at most 16384 bytes") != std::string::npos);
  // openssl genpkey -algorithm x25519
  CHECK(refused("-----BEGIN PRIVATE KEY-----\n"
                "MC4CAQAwBQYDK2VuBCIEIHBfb0vl1Coir6ZxpdhbO+hNe+f/fLKhJByLpZmQVwpN\n"
                "-----END PRIVATE KEY-----\n")
            .find("found one for X25519") != std::string::npos);
  // openssl genpkey -algorithm ed25519 -aes-256-cbc -pass pass:secret
  CHECK(refused("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhXmbOO1IxDRAICCAAw\n"
                "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEEz/8ZkjtPjBme5p34KhSBIEQH8f\n"
                "cNZiqjsH0j7iR0IzLflaZORpymEcQOyIX5e9vdva4lAA/9xd3Tn+mxqUDgtvhGHA\n"
                "cEoPYrT3Py/NpqRUM7Y=\n"
                "-----END ENCRYPTED PRIVATE KEY-----\n")
            .find("encrypted") != std::string::npos);
}

TEST_CASE("parse_public_key: the private half is not taken for the public one") {
  const Error error = error_from([] { parse_public_key(k_private_pem, "key.pem"); });
  CHECK(error.reason == "key-invalid");
  CHECK(error.message.find("found a private one") != std::string::npos);
  CHECK(error.hint.find("-pubout") != std::string::npos);
}

TEST_CASE("read_signing_key: follows a link; a missing file is a local failure") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("key.pem");
  std::ofstream(path) << k_private_pem;
  REQUIRE(chmod(path.c_str(), 0600) == 0);
  std::filesystem::create_symlink("key.pem", directory.file("link.pem"));
  CHECK(read_signing_key(directory.file("link.pem")).public_key() ==
        key_of(k_rfc8032[0].public_key));
  const Error missing = error_from([&] { read_signing_key(directory.file("none.pem")); });
  CHECK(missing.code == ExitCode::io);
  std::ofstream(path) << std::string(k_max_key_file_bytes + 1, ' ');
  CHECK(error_from([&] { read_signing_key(path); }).reason == "key-invalid");
}

}  // namespace mad
