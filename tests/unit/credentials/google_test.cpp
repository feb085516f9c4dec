#include "credentials/google.hpp"

#include <fstream>

#include "base/text.hpp"
#include "credentials/encoding.hpp"
#include "rfc7515_key.hpp"
#include "scripted_http.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::k_rfc7515_key;
using mad::test::says;
using mad::test::World;

namespace {

struct GoogleWorld : World {
  GoogleWorld() { variables["HOME"] = home.path(); }

  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(home.file(name)).parent_path());
    std::ofstream(home.file(name)) << text;
  }
  void named_file(const std::string& text) {
    file("key.json", text);
    variables["GOOGLE_APPLICATION_CREDENTIALS"] = home.file("key.json");
  }
  GoogleCredentialsSource::Pointer get(const GoogleOptions& options = {}) {
    return open_google_credentials(surroundings(), options)->get();
  }
  Error failure() {
    return error_from([&] { get(); });
  }

  test::TemporaryDirectory home;
};

std::string service_account(const std::string& token_url) {
  return R"({"type":"service_account","project_id":"p","private_key_id":"key-1","private_key":)" +
         json_quote(k_rfc7515_key) +
         R"(,"client_email":"me@project.iam.gserviceaccount.com","token_uri":")" + token_url +
         "\"}";
}

const std::string k_token_url = "https://oauth2.googleapis.com/token";
const std::string k_metadata =
    "GET http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/"
    "token";
const std::string k_google_token =
    R"({"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"})";

// Header and claims as in the test below, signed by `openssl dgst -sha256 -sign` with the
// key of RFC 7515, appendix A.2.
constexpr const char* k_assertion =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtleS0xIn0.eyJpc3MiOiJtZUBwcm9qZWN0LmlhbS5n"
    "c2VydmljZWFjY291bnQuY29tIiwic2NvcGUiOiJodHRwczovL3d3dy5nb29nbGVhcGlzLmNvbS9hdXRoL2RldnN0"
    "b3JhZ2UuZnVsbF9jb250cm9sIiwiYXVkIjoiaHR0cHM6Ly9vYXV0aDIuZ29vZ2xlYXBpcy5jb20vdG9rZW4iLCJp"
    "YXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMH0.kl_puyhQe4SS57X1_-leFuqr4rMOTNCaS3XjUayfKUCQ"
    "wKzCbnPuC69_uxPds6zpM7DpQXIkADre48EGRBcgD96DQiMfTaKaaD8VCG5ssqCgz2Y6qdi719o2bQQVSXjeVOZh"
    "xjCLHqRoJwlvi1uTbrsiKKf4xgH2lYspdn9pjSixcUPcAX7p8Ks5_SfWshbOxSC5BdPLD_0iHBW2SHrIzsHIJje0"
    "kXJTKRTjtKpBjSjKGnyM046yJ6HvVxpYesIm_sveYLrem4UwnlV3xc9HmC7YWkad_U3jDhevpNE7pC9F_VU1zj4b"
    "xAnnlZHGqTjYrhO_lm_N24j7gV2ftq4eUg";

}  // namespace

TEST_CASE("sign_rs256: the example of RFC 7515, appendix A.2") {
  const auto signature = sign_rs256(
      k_rfc7515_key,
      "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
  REQUIRE(signature.has_value());
  CHECK(base64url_encode(*signature) ==
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O"
        "8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARN"
        "PvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ"
        "1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");
}

TEST_CASE("sign_rs256: what is no RSA key signs nothing") {
  CHECK_FALSE(sign_rs256("", "x").has_value());
  CHECK_FALSE(sign_rs256("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x")
                  .has_value());
  // A P-256 key, from `openssl genpkey -algorithm EC`, made for this test.
  CHECK_FALSE(sign_rs256("-----BEGIN PRIVATE KEY-----\n"
                         "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnnFNiu3jejGXfKbE\n"
                         "JPw+48i/6CEl2JeH0+tIVv3JF36hRANCAAQU5jfGWw2vOLg3jX2j7hQjHtXh4rlX\n"
                         "mfnEMeBjuBgBok59XyEwQRKgktNMjosivgSewp3dHA9NGlgPyo2MFLPX\n"
                         "-----END PRIVATE KEY-----\n",
                         "x")
                  .has_value());
}

TEST_CASE("google: a service account's file becomes a signed assertion, then a token") {
  GoogleWorld world;
  world.named_file(service_account(k_token_url));
  world.http.expect("POST " + k_token_url, 200, k_google_token);
  const auto credentials = world.get();
  CHECK(credentials->access_token.reveal() == "ya29.x");
  CHECK(credentials->expires_at == world.now + 3599);
  CHECK(world.http.sent_body(0) ==
        std::string("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=") +
            k_assertion);
  CHECK(world.http.sent_header(0, "Content-Type") == "application/x-www-form-urlencoded");
}

TEST_CASE("google: a service account refused under a clock that is wrong asks by the server's") {
  GoogleWorld world;
  world.now -= 3600;
  world.named_file(service_account(k_token_url));
  world.http.expect("POST " + k_token_url, 400, R"({"error":"invalid_grant"})",
                    {{"date", "Tue, 14 Nov 2023 22:13:20 GMT"}});
  world.http.expect("POST " + k_token_url, 200, k_google_token);
  CHECK(world.get()->access_token.reveal() == "ya29.x");
  CHECK(world.http.sent_body(1).find(k_assertion) != std::string::npos);
}

TEST_CASE("google: a refusal under a right clock is final, in the service's own word") {
  GoogleWorld world;
  world.named_file(service_account(k_token_url));
  world.http.expect("POST " + k_token_url, 400,
                    R"({"error":"invalid_grant","error_description":"hunter2"})",
                    {{"date", "Tue, 14 Nov 2023 22:13:25 GMT"}});
  const Error error = world.failure();
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "credentials-refused");
  CHECK(error.message == "answered HTTP 400 (invalid_grant)");
}

TEST_CASE("google: an authorized user's refresh token becomes an access token") {
  GoogleWorld world;
  world.file(".config/gcloud/application_default_credentials.json",
             R"({"type":"authorized_user","client_id":"id.apps","client_secret":"s&t",)"
             R"("refresh_token":"1//r t"})");
  world.http.expect("POST " + k_token_url, 200, k_google_token);
  CHECK(world.get()->access_token.reveal() == "ya29.x");
  CHECK(
      world.http.sent_body(0) ==
      "grant_type=refresh_token&client_id=id.apps&client_secret=s%26t&refresh_token=1%2F%2Fr%20t");
}

TEST_CASE("google: CLOUDSDK_CONFIG moves gcloud's file") {
  GoogleWorld world;
  world.file("sdk/application_default_credentials.json", service_account(k_token_url));
  world.variables["CLOUDSDK_CONFIG"] = world.home.file("sdk");
  world.http.expect("POST " + k_token_url, 200, k_google_token);
  CHECK(world.get()->provider.find("service account") == 0);
}

TEST_CASE("google: the metadata server, past every proxy, renewed before the token expires") {
  GoogleWorld world;
  world.http.expect(k_metadata, 200, k_google_token, {{"metadata-flavor", "Google"}});
  world.http.expect(k_metadata, 200,
                    R"({"access_token":"second","expires_in":3599,"token_type":"Bearer"})",
                    {{"metadata-flavor", "Google"}});
  const auto source = open_google_credentials(world.surroundings(), {});
  CHECK(source->get()->access_token.reveal() == "ya29.x");
  world.now += 3599 - 300;
  CHECK(source->get()->access_token.reveal() == "second");
  for (const HttpAsk& ask : world.http.asked) CHECK(ask.proxy == ProxyUse::never);
  CHECK(world.http.sent_header(0, "Metadata-Flavor") == "Google");
}

TEST_CASE("google: none found says where it looked") {
  GoogleWorld world;
  world.http.expect(k_metadata, 0, "");
  world.http.expect(k_metadata, 0, "");
  const Error error = world.failure();
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "no-credentials");
  CHECK(error.message ==
        "no credentials found; looked at\n"
        "environment: GOOGLE_APPLICATION_CREDENTIALS is not set\n" +
            world.home.path() +
            "/.config/gcloud/application_default_credentials.json: no such file\n"
            "metadata server: no answer from metadata.google.internal");
}

TEST_CASE("google: a metadata server that is late or busy leaves it open whether it has any") {
  GoogleWorld world;
  world.http.expect(k_metadata, 503, "");
  world.http.expect(k_metadata, 429, "");
  const Error error = world.failure();
  CHECK(error.code == ExitCode::remote);
  CHECK(error.one_line() == "metadata server: answered HTTP 429");
  world.firmware = Cloud::gcp;
  world.http.expect(k_metadata, 0, "");
  world.http.expect(k_metadata, 0, "");
  CHECK(world.failure().code == ExitCode::remote);
}

TEST_CASE("google: what answers at the metadata server's name need not be Google's") {
  GoogleWorld world;
  world.variables["GCE_METADATA_HOST"] = "127.0.0.1:80";
  const std::string request =
      "GET http://127.0.0.1:80/computeMetadata/v1/instance/service-accounts/default/token";
  world.http.expect(request, 200, k_google_token);
  CHECK(says(world.failure(), "127.0.0.1:80 is not Google's"));
  world.http.expect(request, 404, "", {{"metadata-flavor", "Google"}});
  CHECK(says(world.failure(), "no service account"));
  world.variables["GCE_METADATA_HOST"] = "a@b";
  CHECK(world.failure().reason == "credentials-invalid");
}

TEST_CASE("google: files that are missing, of another type or malformed show no value") {
  GoogleWorld world;
  world.variables["GOOGLE_APPLICATION_CREDENTIALS"] = world.home.file("none.json");
  CHECK(says(world.failure(), "found no such file"));
  const std::vector<std::pair<std::string, std::string>> defects = {
      {"hunter2", "JSON object"},
      {R"(["hunter2"])", "JSON object"},
      {R"({"type":"service_account","type":"hunter2"})", "JSON object"},
      {R"({"type":"service_account"} hunter2)", "JSON object"},
      {"{\"type\":\"hunter2\xFF\"}", "JSON object"},
      {R"({"type":"hunter2"})", "found another"},
      {R"({"type":"external_account"})", "'external_account', which is not supported"},
      {R"({"type":"service_account","client_email":"a"})", "'private_key'"},
      {R"({"type":"service_account","client_email":"a","private_key":"hunter2"})",
       "RSA key in PEM"},
      {R"({"type":"service_account","client_email":"a","private_key":"x","token_uri":"http://h/"})",
       "expected https"},
      {R"({"type":"authorized_user","client_id":"a","client_secret":"hunter2"})",
       "'refresh_token'"},
      {R"({"type":"authorized_user","client_id":["hunter2"]})", "'client_id'"}};
  for (const auto& [text, what] : defects) {
    INFO(text);
    world.named_file(text);
    const Error error = world.failure();
    CHECK(error.code == ExitCode::access_denied);
    CHECK(error.reason == "credentials-invalid");
    CHECK(says(error, what));
    CHECK_FALSE(says(error, "hunter2"));
  }
  CHECK(world.http.asked.empty());
}

TEST_CASE("google: a token that no header can carry is refused") {
  GoogleWorld world;
  world.named_file(service_account(k_token_url));
  for (const char* answer : {R"({"access_token":"a\r\nb"})", R"({"access_token":""})", "{}", ""}) {
    world.http.expect("POST " + k_token_url, 200, answer);
    CHECK(world.failure().reason == "credentials-invalid");
  }
}

TEST_CASE("google: anonymous against an emulator and on request, with no question asked") {
  GoogleWorld world;
  world.named_file(service_account(k_token_url));
  GoogleOptions options;
  options.anonymous = true;
  CHECK(world.get(options)->anonymous());
  world.variables["STORAGE_EMULATOR_HOST"] = "127.0.0.1:9000";
  CHECK(world.get()->anonymous());
  CHECK(world.http.asked.empty());
  // An endpoint given by option is not the emulator's.
  world.http.expect("POST " + k_token_url, 200, k_google_token);
  CHECK_FALSE(world.get({"http://127.0.0.1:9000", false})->anonymous());
}

TEST_CASE("google settings: option, emulator with or without scheme, Google's own") {
  GoogleWorld world;
  const auto endpoint = [&](const std::string& option = {}) {
    return resolve_google_settings(world.surroundings(), {option, false}).endpoint_url;
  };
  CHECK(endpoint() == "https://storage.googleapis.com");
  world.variables["STORAGE_EMULATOR_HOST"] = "localhost:4443";
  CHECK(endpoint() == "http://localhost:4443");
  world.variables["STORAGE_EMULATOR_HOST"] = "https://localhost:4443/";
  CHECK(endpoint() == "https://localhost:4443");
  CHECK(endpoint("http://h:1/x/") == "http://h:1/x");
  world.variables["STORAGE_EMULATOR_HOST"] = "user:hunter2@h";
  const Error error = error_from([&] { endpoint(); });
  CHECK(error.code == ExitCode::usage);
  CHECK_FALSE(says(error, "hunter2"));
}
