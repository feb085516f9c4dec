#include "credentials/azure.hpp"

#include <fstream>

#include "scripted_http.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::says;
using mad::test::World;

namespace {

struct AzureWorld : World {
  AzureCredentialsSource::Pointer get(const AzureOptions& options = {}) {
    return open_azure_credentials(surroundings(), options)->get();
  }
  Error failure(const AzureOptions& options = {}) {
    return error_from([&] { get(options); });
  }
  AzureSettings settings(const AzureOptions& options = {}) {
    return resolve_azure_settings(surroundings(), options);
  }
};

const AzureSharedKey& key_of(const AzureCredentialsSource::Pointer& credentials) {
  return std::get<AzureSharedKey>(credentials->authorization);
}
std::string sas_of(const AzureCredentialsSource::Pointer& credentials) {
  return std::string(std::get<AzureSas>(credentials->authorization).query.reveal());
}
std::string token_of(const AzureCredentialsSource::Pointer& credentials) {
  return std::string(std::get<AzureBearer>(credentials->authorization).token.reveal());
}

const std::string k_identity =
    "GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&"
    "resource=https://storage.azure.com/";
const std::string k_token =
    R"({"access_token":"eyJ0","expires_in":"3599","expires_on":"1700003599","token_type":"Bearer"})";

}  // namespace

TEST_CASE("azure: the URL's signature comes first") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] = "UseDevelopmentStorage=true";
  AzureOptions options;
  options.sas = Secret("?sv=2021&sig=a%2Bb%3D");
  CHECK(sas_of(world.get(options)) == "sv=2021&sig=a%2Bb%3D");
}

TEST_CASE("azure: a connection string with a key, of the public cloud or another") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] =
      "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5PT0=;"
      "EndpointSuffix=core.chinacloudapi.cn;";
  CHECK(key_of(world.get()).account == "acct");
  CHECK(key_of(world.get()).key.reveal() == "key==");
  CHECK(world.settings().account == "acct");
  CHECK(world.settings().blob_endpoint == "https://acct.blob.core.chinacloudapi.cn");
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] = "accountname=acct;accountkey=a2V5PT0=";
  CHECK(world.settings().blob_endpoint == "https://acct.blob.core.windows.net");
}

TEST_CASE("azure: a connection string for the emulator, by its short form and in full") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] = "UseDevelopmentStorage=true";
  CHECK(key_of(world.get()).account == "devstoreaccount1");
  CHECK(key_of(world.get()).key.reveal().size() == 64);
  CHECK(world.settings().blob_endpoint == "http://127.0.0.1:10000/devstoreaccount1");
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] =
      "AccountName=devstoreaccount1;AccountKey=a2V5;"
      "BlobEndpoint=http://127.0.0.1:1234/devstoreaccount1/;QueueEndpoint=http://127.0.0.1:1/x";
  CHECK(key_of(world.get()).key.reveal() == "key");
  CHECK(world.settings().blob_endpoint == "http://127.0.0.1:1234/devstoreaccount1");
}

TEST_CASE("azure: a connection string with a signature says its account in the endpoint") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] =
      "BlobEndpoint=https://acct.blob.core.windows.net/;SharedAccessSignature=sv=2021&sig=x%3D";
  CHECK(sas_of(world.get()) == "sv=2021&sig=x%3D");
  CHECK(world.settings().account == "acct");
  CHECK(world.settings().blob_endpoint == "https://acct.blob.core.windows.net");
}

TEST_CASE("azure: a connection string that is none shows no value") {
  AzureWorld world;
  for (const char* text :
       {"hunter2", "AccountName=acct;hunter2", "=hunter2", "AccountName=a;AccountName=hunter2",
        "AccountKey=hunter2", "AccountName=acct;AccountKey=hunter2!",
        "AccountName=acct;SharedAccessSignature=hunter2",
        "AccountName=acct;SharedAccessSignature=sig=hunter2 x",
        "AccountName=acct;SharedAccessSignature=sig=hunter2\r\nx"}) {
    INFO(text);
    world.variables["AZURE_STORAGE_CONNECTION_STRING"] = text;
    const Error error = world.failure();
    CHECK(error.code == ExitCode::access_denied);
    CHECK(error.reason == "credentials-invalid");
    CHECK_FALSE(says(error, "hunter2"));
  }
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] =
      "AccountName=acct;BlobEndpoint=https://acct.blob.core.windows.net/?sig=hunter2";
  const Error error = error_from([&] { world.settings(); });
  CHECK(error.code == ExitCode::usage);
  CHECK_FALSE(says(error, "hunter2"));
}

TEST_CASE("azure: the account's key before its signature, each needing the account") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_KEY"] = "a2V5";
  CHECK(says(world.failure(), "AZURE_STORAGE_KEY is set without AZURE_STORAGE_ACCOUNT"));
  world.variables["AZURE_STORAGE_ACCOUNT"] = "acct";
  world.variables["AZURE_STORAGE_SAS_TOKEN"] = "?sig=x";
  CHECK(key_of(world.get()).account == "acct");
  CHECK(key_of(world.get()).key.reveal() == "key");
  CHECK(world.settings().blob_endpoint == "https://acct.blob.core.windows.net");
  world.variables.erase("AZURE_STORAGE_KEY");
  CHECK(sas_of(world.get()) == "sig=x");
}

TEST_CASE("azure: what belongs to one account is not sent to another") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] = "AccountName=acct;AccountKey=a2V5";
  world.variables["AZURE_STORAGE_ACCOUNT"] = "acct";
  world.variables["AZURE_STORAGE_KEY"] = "a2V5";
  world.variables["AZURE_STORAGE_SAS_TOKEN"] = "sig=x";
  world.http.expect(k_identity, 0, "");
  world.http.expect(k_identity, 0, "");
  AzureOptions options;
  options.account = "other";
  const Error error = world.failure(options);
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "no-credentials");
  CHECK(error.message ==
        "no credentials found; looked at\n"
        "environment: AZURE_STORAGE_CONNECTION_STRING is for another account\n"
        "environment: AZURE_STORAGE_KEY is for another account\n"
        "environment: AZURE_STORAGE_SAS_TOKEN is for another account\n"
        "service principal: AZURE_TENANT_ID is not set\n"
        "workload identity: AZURE_FEDERATED_TOKEN_FILE is not set\n"
        "managed identity: no answer from 169.254.169.254");
  CHECK(world.settings(options).blob_endpoint == "https://other.blob.core.windows.net");
  options.account = "acct";
  CHECK(key_of(world.get(options)).account == "acct");
}

TEST_CASE("azure: a service principal's secret becomes a token") {
  AzureWorld world;
  world.variables["AZURE_TENANT_ID"] = "72f988bf-86f1";
  world.variables["AZURE_CLIENT_ID"] = "client";
  world.variables["AZURE_CLIENT_SECRET"] = "s~e/c+";
  world.http.expect("POST https://login.microsoftonline.com/72f988bf-86f1/oauth2/v2.0/token", 200,
                    k_token);
  const auto credentials = world.get();
  CHECK(token_of(credentials) == "eyJ0");
  CHECK(credentials->expires_at == world.now + 3599);
  CHECK(world.http.sent_body(0) ==
        "grant_type=client_credentials&client_id=client&"
        "scope=https%3A%2F%2Fstorage.azure.com%2F.default&client_secret=s~e%2Fc%2B");
}

TEST_CASE("azure: a refused service principal is final and says Azure's word, not its text") {
  AzureWorld world;
  world.variables["AZURE_TENANT_ID"] = "t";
  world.variables["AZURE_CLIENT_ID"] = "client";
  world.variables["AZURE_CLIENT_SECRET"] = "hunter2";
  world.http.expect("POST https://login.microsoftonline.com/t/oauth2/v2.0/token", 401,
                    R"({"error":"invalid_client","error_description":"hunter2"})");
  const Error error = world.failure();
  CHECK(error.reason == "credentials-refused");
  CHECK(error.message == "answered HTTP 401 (invalid_client)");
  world.variables["AZURE_TENANT_ID"] = "a/../b?";
  CHECK(world.failure().reason == "credentials-invalid");
  world.variables["AZURE_TENANT_ID"] = "t";
  world.variables["AZURE_AUTHORITY_HOST"] = "http://login.example";
  CHECK(says(world.failure(), "expected https"));
}

TEST_CASE("azure: workload identity reads its token file at each renewal") {
  AzureWorld world;
  const test::TemporaryDirectory directory;
  world.variables["AZURE_FEDERATED_TOKEN_FILE"] = directory.file("link");
  CHECK(says(world.failure(), "without AZURE_TENANT_ID"));
  world.variables["AZURE_TENANT_ID"] = "t";
  CHECK(says(world.failure(), "without AZURE_CLIENT_ID"));
  world.variables["AZURE_CLIENT_ID"] = "c";
  world.variables["AZURE_AUTHORITY_HOST"] = "https://login.microsoftonline.us/";
  // As Kubernetes projects them: by a symbolic link.
  std::filesystem::create_symlink("token", directory.file("link"));
  std::ofstream(directory.file("token")) << "first";
  const std::string request = "POST https://login.microsoftonline.us/t/oauth2/v2.0/token";
  world.http.expect(request, 200, k_token);
  world.http.expect(request, 200, R"({"access_token":"next","expires_in":3599})");
  const auto source = open_azure_credentials(world.surroundings(), {});
  CHECK(token_of(source->get()) == "eyJ0");
  std::ofstream(directory.file("token")) << "second";
  world.now += 3599 - 300;
  CHECK(token_of(source->get()) == "next");
  CHECK(world.http.sent_body(0).find("&client_assertion=first") != std::string::npos);
  CHECK(world.http.sent_body(1).find("&client_assertion=second") != std::string::npos);
  CHECK(world.http.sent_body(0).find("&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-"
                                     "assertion-type%3Ajwt-bearer&") != std::string::npos);
}

TEST_CASE("azure: managed identity, past every proxy, of the identity that is named") {
  AzureWorld world;
  world.http.expect(k_identity, 200, k_token);
  CHECK(token_of(world.get()) == "eyJ0");
  CHECK(world.http.sent_header(0, "Metadata") == "true");
  CHECK(world.http.asked[0].proxy == ProxyUse::never);
  world.variables["AZURE_CLIENT_ID"] = "a b";
  world.http.expect(k_identity + "&client_id=a%20b", 200, k_token);
  CHECK(token_of(world.get()) == "eyJ0");
}

TEST_CASE("azure: a machine without an identity is none found") {
  AzureWorld world;
  world.http.expect(k_identity, 400, R"({"error":"invalid_request"})");
  const Error error = world.failure();
  CHECK(error.reason == "no-credentials");
  CHECK(says(error, "managed identity: HTTP 400"));
}

TEST_CASE("azure: a metadata service that is late or busy leaves it open whether it has any") {
  AzureWorld world;
  world.http.expect(k_identity, 500, "");
  world.http.expect(k_identity, 503, "");
  const Error error = world.failure();
  CHECK(error.code == ExitCode::remote);
  CHECK(error.one_line() == "managed identity: answered HTTP 503");
  world.firmware = Cloud::azure;
  world.http.expect(k_identity, 0, "");
  world.http.expect(k_identity, 0, "");
  CHECK(world.failure().code == ExitCode::remote);
}

TEST_CASE("azure: anonymous only where asked for") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_CONNECTION_STRING"] = "UseDevelopmentStorage=true";
  AzureOptions options;
  options.anonymous = true;
  CHECK(std::holds_alternative<AzureAnonymous>(world.get(options)->authorization));
}

TEST_CASE("azure: renewing a key that did not change says that there is no newer one") {
  AzureWorld world;
  world.variables["AZURE_STORAGE_ACCOUNT"] = "acct";
  world.variables["AZURE_STORAGE_KEY"] = "a2V5";
  const auto source = open_azure_credentials(world.surroundings(), {});
  const auto first = source->get();
  CHECK(error_from([&] { source->renew(first); }).reason == "credentials-expired");
  world.variables["AZURE_STORAGE_KEY"] = "a2V6";
  CHECK(key_of(source->renew(first)).key.reveal() == "kez");
}

TEST_CASE("azure settings: account and endpoint by option; what is neither is usage") {
  AzureWorld world;
  CHECK(says(error_from([&] { world.settings(); }), "AZURE_STORAGE_ACCOUNT"));
  AzureOptions options;
  options.account = "acct";
  options.endpoint_url = "http://127.0.0.1:10000/acct/";
  CHECK(world.settings(options).blob_endpoint == "http://127.0.0.1:10000/acct");
  options.endpoint_url.clear();
  for (const char* account : {"ab", "UPPER", "evil.com", "a/b", "abcdefghijklmnopqrstuvwxy"}) {
    options.account = account;
    CHECK(error_from([&] { world.settings(options); }).code == ExitCode::usage);
  }
}
