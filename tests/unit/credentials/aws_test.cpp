#include "credentials/aws.hpp"

#include <fstream>

#include "scripted_http.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;
using mad::test::says;
using mad::test::World;

namespace {

/// A home of its own, so that no file of whoever runs the tests is read.
struct AwsWorld : World {
  AwsWorld() { variables["HOME"] = home.path(); }

  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(home.file(name)).parent_path());
    std::ofstream(home.file(name)) << text;
  }
  AwsCredentialsSource::Pointer get(const AwsOptions& options = {}) {
    return open_aws_credentials(surroundings(), options)->get();
  }
  Error failure(const AwsOptions& options = {}) {
    return error_from([&] { get(options); });
  }
  void no_metadata() { variables["AWS_EC2_METADATA_DISABLED"] = "true"; }

  test::TemporaryDirectory home;
};

const std::string k_json =
    R"({"Code":"Success","AccessKeyId":"AKJSON","SecretAccessKey":"sk/json","Token":"tk","Expiration":"2023-11-15T04:13:20Z","Other":{"a":[1]}})";

}  // namespace

TEST_CASE("aws: the environment comes first, and asks nobody") {
  AwsWorld world;
  world.variables["AWS_ACCESS_KEY_ID"] = "AKENV";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "sk env";
  world.variables["AWS_SESSION_TOKEN"] = "tk";
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/does/not/exist";
  world.file(".aws/credentials", "[default]\naws_access_key_id = X\naws_secret_access_key = Y\n");
  const auto credentials = world.get();
  CHECK(credentials->access_key_id == "AKENV");
  CHECK(credentials->secret_access_key.reveal() == "sk env");
  CHECK(credentials->session_token.reveal() == "tk");
  CHECK_FALSE(credentials->expires_at.has_value());
  CHECK(credentials->provider == "the environment");
}

TEST_CASE("aws: half of a pair in the environment is an error, and no value is shown") {
  AwsWorld world;
  world.variables["AWS_SECRET_ACCESS_KEY"] = "hunter2";
  Error error = world.failure();
  CHECK(error.reason == "credentials-invalid");
  CHECK(says(error, "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"));
  CHECK_FALSE(says(error, "hunter2"));
  world.variables = {{"HOME", world.home.path()}, {"AWS_ACCESS_KEY_ID", "hunter2"}};
  error = world.failure();
  CHECK(says(error, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"));
  CHECK_FALSE(says(error, "hunter2"));
}

TEST_CASE("aws: a line break in a token of the environment is refused") {
  AwsWorld world;
  world.variables["AWS_ACCESS_KEY_ID"] = "AK";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "sk";
  world.variables["AWS_SESSION_TOKEN"] = "tk\r\nX-Evil: 1";
  CHECK(world.failure().reason == "credentials-invalid");
}

TEST_CASE("aws: none found says where it looked, in order") {
  AwsWorld world;
  world.no_metadata();
  const Error error = world.failure();
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "no-credentials");
  CHECK(error.subject == "s3");
  const std::string home = world.home.path();
  CHECK(error.message ==
        "no credentials found; looked at\n"
        "environment: AWS_ACCESS_KEY_ID is not set\n"
        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set\n" +
            home + "/.aws/credentials: no keys for profile default\n" +
            "credential_process: profile default has none\n" + home +
            "/.aws/config: no keys for profile default\n"
            "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set\n"
            "instance metadata: AWS_EC2_METADATA_DISABLED");
  CHECK(says(error, "--no-sign-request"));
}

TEST_CASE("aws: anonymous only where asked for") {
  AwsWorld world;
  world.variables["AWS_ACCESS_KEY_ID"] = "AK";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "sk";
  AwsOptions options;
  CHECK_FALSE(world.get(options)->anonymous());
  options.anonymous = true;
  CHECK(world.get(options)->anonymous());
}

TEST_CASE("aws: the shared credentials file before credential_process before the config file") {
  AwsWorld world;
  world.file(".aws/config",
             "[default]\naws_access_key_id = CFG\naws_secret_access_key = c\n"
             "credential_process = echo "
             "'{\"Version\":1,\"AccessKeyId\":\"PROC\",\"SecretAccessKey\":\"p\"}'\n");
  CHECK(world.get()->access_key_id == "PROC");
  world.file(".aws/credentials",
             "[default]\naws_access_key_id = FILE\naws_secret_access_key = f\n"
             "aws_session_token = t\n");
  CHECK(world.get()->access_key_id == "FILE");
  CHECK(world.get()->session_token.reveal() == "t");
  world.file(".aws/credentials", "[other]\n");
  world.file(".aws/config", "[default]\naws_access_key_id = CFG\naws_secret_access_key = c\n");
  CHECK(world.get()->access_key_id == "CFG");
}

TEST_CASE(
    "aws: AWS_PROFILE and the files' own variables choose; an option puts the environment aside") {
  AwsWorld world;
  world.file("x/creds", "[a]\naws_access_key_id = A\naws_secret_access_key = 1\n");
  world.file("x/conf", "[profile b]\naws_access_key_id = B\naws_secret_access_key = 2\n");
  world.variables["AWS_SHARED_CREDENTIALS_FILE"] = "~/x/creds";
  world.variables["AWS_CONFIG_FILE"] = world.home.file("x/conf");
  world.variables["AWS_PROFILE"] = "a";
  CHECK(world.get()->access_key_id == "A");
  world.variables["AWS_PROFILE"] = "b";
  CHECK(world.get()->access_key_id == "B");
  world.variables["AWS_ACCESS_KEY_ID"] = "E";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "3";
  CHECK(world.get()->access_key_id == "E");
  AwsOptions options;
  options.profile = "a";
  CHECK(world.get(options)->access_key_id == "A");
}

TEST_CASE("aws: a profile that was named must be there: no other identity takes its place") {
  AwsWorld world;
  world.variables["AWS_PROFILE"] = "prod";
  world.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/x";
  const Error error = world.failure();
  CHECK(error.reason == "no-credentials");
  CHECK(says(error, "profile prod"));
  CHECK(world.http.asked.empty());
}

TEST_CASE("aws: a profile with a role or SSO is refused with the way round it") {
  AwsWorld world;
  world.no_metadata();
  for (const char* text :
       {"[default]\nrole_arn = arn:x\nsource_profile = y\n", "[default]\nsso_session = y\n",
        "[default]\nsso_start_url = https://y\n"}) {
    world.file(".aws/config", text);
    const Error error = world.failure();
    CHECK(error.reason == "no-credentials");
    CHECK(says(error, "not supported"));
    CHECK(says(error, "aws configure export-credentials"));
  }
}

TEST_CASE("aws: files that are none, too long, or half filled in") {
  AwsWorld world;
  world.no_metadata();
  world.file(".aws/credentials", "[default]\naws_secret_access_key = hunter2\n");
  Error error = world.failure();
  CHECK(error.reason == "credentials-invalid");
  CHECK(says(error, ".aws/credentials: profile default"));
  CHECK_FALSE(says(error, "hunter2"));
  world.file(".aws/credentials", std::string(1024 * 1024 + 1, '#'));
  CHECK(says(world.failure(), "at most 1048576 bytes"));
  std::filesystem::remove(world.home.file(".aws/credentials"));
  std::filesystem::create_directory(world.home.file(".aws/credentials"));
  CHECK(says(world.failure(), "expected a regular file"));
}

TEST_CASE("aws: renewing reads the shared file again") {
  AwsWorld world;
  world.file(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = 1\n");
  const auto source = open_aws_credentials(world.surroundings(), {});
  const auto first = source->get();
  CHECK(error_from([&] { source->renew(first); }).reason == "credentials-expired");
  world.file(".aws/credentials", "[default]\naws_access_key_id = B\naws_secret_access_key = 2\n");
  CHECK(source->renew(first)->access_key_id == "B");
}

TEST_CASE("aws: credential_process that fails, says too much, nothing or nonsense") {
  AwsWorld world;
  const auto with = [&](const std::string& command) {
    world.file(".aws/config", "[default]\ncredential_process = " + command + "\n");
    const Error error = world.failure();
    CHECK(error.reason == "credentials-invalid");
    CHECK(error.subject == "credential_process of profile default");
    CHECK_FALSE(says(error, "hunter2"));
    return error;
  };
  CHECK(says(with("echo hunter2; exit 3"), "exited with 3"));
  CHECK(says(with("kill -9 $$"), "signal 9"));
  CHECK(says(with("exec yes hunter2"), "more than 65536 bytes"));
  CHECK(says(with("true"), "JSON object"));
  CHECK(says(with("echo hunter2"), "JSON object"));
  CHECK(says(with("echo '{\"Version\":2,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"hunter2\"}'"),
             "'Version' 1"));
  CHECK(says(with("echo '{\"Version\":1,\"AccessKeyId\":\"hunter2\"}'"), "'SecretAccessKey'"));
  CHECK(says(with("echo '{\"Version\":1,\"Version\":1,\"AccessKeyId\":\"a\","
                  "\"SecretAccessKey\":\"b\"}'"),
             "JSON object"));
  CHECK(says(with("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\","
                  "\"Expiration\":\"hunter2\"}'"),
             "'Expiration'"));
}

TEST_CASE("aws: web identity posts the token to the region's STS and reads its answer") {
  AwsWorld world;
  world.file("token", "eyJ.tok+en\n");
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = world.home.file("token");
  world.variables["AWS_ROLE_ARN"] = "arn:aws:iam::123:role/my role";
  world.variables["AWS_ROLE_SESSION_NAME"] = "me";
  world.variables["AWS_REGION"] = "eu-central-1";
  // The answer in AWS's STS reference, AssumeRoleWithWebIdentity.
  world.http.expect("POST https://sts.eu-central-1.amazonaws.com/", 200,
                    "<AssumeRoleWithWebIdentityResponse "
                    "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"
                    " <AssumeRoleWithWebIdentityResult>\n"
                    "  <SubjectFromWebIdentityToken>amzn1</SubjectFromWebIdentityToken>\n"
                    "  <Credentials><SessionToken>AQoDYXdzEE0a8AN==</SessionToken>"
                    "<SecretAccessKey>wJalr/bPx</SecretAccessKey>"
                    "<Expiration>2023-11-14T23:13:20Z</Expiration>"
                    "<AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId></Credentials>\n"
                    " </AssumeRoleWithWebIdentityResult>\n"
                    " <ResponseMetadata><RequestId>ad4156e9</RequestId></ResponseMetadata>\n"
                    "</AssumeRoleWithWebIdentityResponse>");
  const auto credentials = world.get();
  CHECK(credentials->access_key_id == "ASgeIAIOSFODNN7EXAMPLE");
  CHECK(credentials->secret_access_key.reveal() == "wJalr/bPx");
  CHECK(credentials->session_token.reveal() == "AQoDYXdzEE0a8AN==");
  CHECK(credentials->expires_at == world.now + 3600);
  CHECK(world.http.sent_body(0) ==
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123%3Arole%2Fmy%20role&RoleSessionName=me&"
        "WebIdentityToken=eyJ.tok%2Ben");
  CHECK(world.http.sent_header(0, "Content-Type") == "application/x-www-form-urlencoded");
  CHECK(world.http.asked[0].proxy == ProxyUse::from_environment);
}

TEST_CASE("aws: web identity that STS refuses names STS's code, and goes no further") {
  AwsWorld world;
  world.file("token", "hunter2");
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = world.home.file("token");
  CHECK(says(world.failure(), "without AWS_ROLE_ARN"));
  world.variables["AWS_ROLE_ARN"] = "arn:x";
  world.http.expect("POST https://sts.amazonaws.com/", 400,
                    "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>"
                    "<Message>hunter2</Message></Error></ErrorResponse>");
  world.http.expect("POST https://sts.amazonaws.com/", 403, "hunter2");
  world.http.expect("POST https://sts.amazonaws.com/", 200, "<hunter2/>");
  Error error = world.failure();
  CHECK(error.code == ExitCode::access_denied);
  CHECK(error.reason == "credentials-refused");
  CHECK(error.message == "answered HTTP 400 (ExpiredTokenException)");
  error = world.failure();
  CHECK(error.message == "answered HTTP 403");
  error = world.failure();
  CHECK(error.reason == "credentials-invalid");
  CHECK_FALSE(says(error, "hunter2"));
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = world.home.file("none");
  CHECK(says(world.failure(), "no such file"));
}

TEST_CASE("aws: STS that is busy, or waits for the identity's provider, has refused nothing") {
  AwsWorld world;
  world.file("token", "t");
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = world.home.file("token");
  world.variables["AWS_ROLE_ARN"] = "arn:x";
  for (const std::string code : {"Throttling", "ThrottlingException", "IDPCommunicationError"}) {
    world.http.expect("POST https://sts.amazonaws.com/", 400,
                      "<ErrorResponse><Error><Code>" + code + "</Code></Error></ErrorResponse>");
    const Error error = world.failure();
    CHECK(error.code == ExitCode::remote);
    CHECK(error.one_line() == "web identity: answered HTTP 400 (" + code + ")");
  }
}

TEST_CASE("aws: web identity of a profile, at an STS of one's own") {
  AwsWorld world;
  world.file("token", "t");
  world.file(".aws/config", "[default]\nrole_arn = arn:x\nweb_identity_token_file = ~/token\n");
  world.variables["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:8000";
  world.http.expect("POST http://127.0.0.1:8000/", 403, "");
  CHECK(world.failure().reason == "credentials-refused");
  CHECK(world.http.done());
}

TEST_CASE("aws: a service that fails is asked three times; what is left is a remote error") {
  AwsWorld world;
  world.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/x";
  const std::string request = "GET http://169.254.170.2/v2/credentials/x";
  world.http.expect(request, 0, "");
  world.http.expect(request, 503, "");
  world.http.expect(request, 200, k_json);
  CHECK(world.get()->access_key_id == "AKJSON");
  world.http.expect(request, 429, "");
  world.http.expect(request, 500, "");
  world.http.expect(request, 408, "");
  const Error error = world.failure();
  CHECK(error.code == ExitCode::remote);
  CHECK(error.reason == "http-status");
}

TEST_CASE("aws: container credentials, past every proxy, with the token of the file") {
  AwsWorld world;
  world.file("token", "Basic abc=\n");
  world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials";
  world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "not this";
  world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = world.home.file("token");
  world.http.expect("GET http://169.254.170.23/v1/credentials", 200, k_json);
  const auto credentials = world.get();
  CHECK(credentials->secret_access_key.reveal() == "sk/json");
  CHECK(credentials->session_token.reveal() == "tk");
  CHECK(credentials->expires_at == world.now + 6 * 3600);
  CHECK(world.http.asked[0].proxy == ProxyUse::never);
  CHECK(world.http.sent_header(0, "Authorization") == "Basic abc=");
}

TEST_CASE("aws: container credentials are asked for in the clear only nearby") {
  AwsWorld world;
  for (const char* url :
       {"http://example.com/x", "http://169.254.169.254/x", "http://127.0.0.1@evil/",
        "ftp://127.0.0.1/", "http://127.0.0.1.evil.com/", "http://[::2]/", "x",
        "http://localhost.evil/", "http://169.254.170.2:x/"}) {
    INFO(url);
    world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    CHECK(world.failure().reason == "credentials-invalid");
  }
  CHECK(world.http.asked.empty());
  for (const char* url : {"https://example.com/x", "http://127.9.9.9:80/x", "http://[::1]:8/x",
                          "http://LOCALHOST/x", "http://[fd00:ec2::23]/v1"}) {
    INFO(url);
    world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    world.http.expect(std::string("GET ") + url, 403, "");
    CHECK(world.failure().reason == "credentials-refused");
  }
  world.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "@evil/";
  CHECK(world.failure().reason == "credentials-invalid");
  world.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/x";
  world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\r\nb: c";
  CHECK(world.failure().reason == "credentials-invalid");
}

namespace {

const std::string k_imds = "http://169.254.169.254/latest/";
const std::string k_roles = "meta-data/iam/security-credentials/";

}  // namespace

TEST_CASE("aws: instance metadata with a session token, renewed on a 401") {
  AwsWorld world;
  world.http.expect("PUT " + k_imds + "api/token", 200, "TOKEN1");
  world.http.expect("GET " + k_imds + k_roles, 200, "my-role\n");
  world.http.expect("GET " + k_imds + k_roles + "my-role", 401, "");
  world.http.expect("PUT " + k_imds + "api/token", 200, "TOKEN2");
  world.http.expect("GET " + k_imds + k_roles + "my-role", 200, k_json);
  const auto credentials = world.get();
  CHECK(credentials->access_key_id == "AKJSON");
  CHECK(credentials->provider == "instance metadata");
  CHECK(world.http.sent_header(0, "X-aws-ec2-metadata-token-ttl-seconds") == "21600");
  CHECK(world.http.sent_header(1, "X-aws-ec2-metadata-token") == "TOKEN1");
  CHECK(world.http.sent_header(4, "X-aws-ec2-metadata-token") == "TOKEN2");
  for (const HttpAsk& ask : world.http.asked) CHECK(ask.proxy == ProxyUse::never);
}

TEST_CASE("aws: instance metadata is asked again before its credentials expire") {
  AwsWorld world;
  world.http.expect("PUT " + k_imds + "api/token", 200, "T");
  for (const char* key : {"AK1", "AK2"}) {
    world.http.expect("GET " + k_imds + k_roles, 200, "r");
    world.http.expect(
        "GET " + k_imds + k_roles + "r", 200,
        std::string(R"({"AccessKeyId":")") + key +
            R"(","SecretAccessKey":"s","Token":"t","Expiration":"2023-11-14T23:13:20Z"})");
  }
  const auto source = open_aws_credentials(world.surroundings(), {});
  CHECK(source->get()->access_key_id == "AK1");
  world.now += 3600 - 300;
  CHECK(source->get()->access_key_id == "AK2");
  CHECK(world.http.done());
}

TEST_CASE("aws: no metadata service, or one without a role, is none found") {
  AwsWorld world;
  world.firmware = Cloud::gcp;
  world.http.expect("PUT " + k_imds + "api/token", 0, "");
  world.http.expect("PUT " + k_imds + "api/token", 0, "");
  Error error = world.failure();
  CHECK(error.reason == "no-credentials");
  CHECK(says(error, "instance metadata: no answer from http://169.254.169.254"));
  world.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1/";
  world.http.expect("PUT http://127.0.0.1:1/latest/api/token", 403, "");
  CHECK(says(world.failure(), "no session token from http://127.0.0.1:1: HTTP 403"));
  world.http.expect("PUT http://127.0.0.1:1/latest/api/token", 200, "T");
  world.http.expect("GET http://127.0.0.1:1/latest/" + k_roles, 404, "");
  error = world.failure();
  CHECK(error.reason == "no-credentials");
  CHECK(says(error, "no /latest/meta-data/iam/security-credentials/"));
}

TEST_CASE(
    "aws: a metadata service that is late or busy leaves it open whether it has credentials") {
  AwsWorld world;
  for (const int status : {429, 503}) {
    INFO(status);
    world.http.expect("PUT " + k_imds + "api/token", status, "");
    world.http.expect("PUT " + k_imds + "api/token", status, "");
    const Error error = world.failure();
    CHECK(error.code == ExitCode::remote);
    CHECK(error.one_line() == "instance metadata: answered HTTP " + std::to_string(status));
  }
  world.firmware = Cloud::aws;
  world.http.expect("PUT " + k_imds + "api/token", 0, "");
  world.http.expect("PUT " + k_imds + "api/token", 0, "");
  CHECK(world.failure().code == ExitCode::remote);
  world.firmware = std::nullopt;
  world.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1/";
  world.http.expect("PUT http://127.0.0.1:1/latest/api/token", 0, "");
  world.http.expect("PUT http://127.0.0.1:1/latest/api/token", 0, "");
  CHECK(world.failure().code == ExitCode::remote);
}

TEST_CASE("aws: what instance metadata says is not trusted") {
  AwsWorld world;
  for (const char* role : {"../../../user-data", "a/b", "a?b", "", "<html>"}) {
    INFO(role);
    world.http.expect("PUT " + k_imds + "api/token", 200, "T");
    world.http.expect("GET " + k_imds + k_roles, 200, role);
    CHECK(world.failure().reason == "credentials-invalid");
  }
  world.http.expect("PUT " + k_imds + "api/token", 200, "T");
  world.http.expect("GET " + k_imds + k_roles, 200, "r");
  world.http.expect("GET " + k_imds + k_roles + "r", 200,
                    R"({"Code":"AssumeRoleUnauthorizedAccess","Message":"m"})");
  const Error error = world.failure();
  CHECK(error.reason == "credentials-refused");
  CHECK(says(error, "AssumeRoleUnauthorizedAccess"));
}

TEST_CASE("aws settings: region by option, variables, profile, metadata, and a guess at last") {
  AwsWorld world;
  AwsOptions options;
  world.http.expect("PUT " + k_imds + "api/token", 200, "T");
  world.http.expect("GET " + k_imds + "meta-data/placement/region", 200, "eu-north-1");
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "eu-north-1");
  world.no_metadata();
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "us-east-1");
  CHECK(resolve_aws_settings(world.surroundings(), options).region_is_guess);
  world.file(".aws/config", "[default]\nregion = profile-1\n");
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "profile-1");
  CHECK_FALSE(resolve_aws_settings(world.surroundings(), options).region_is_guess);
  world.variables["AWS_DEFAULT_REGION"] = "default-1";
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "default-1");
  world.variables["AWS_REGION"] = "region-1";
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "region-1");
  options.region = "option-1";
  CHECK(resolve_aws_settings(world.surroundings(), options).region == "option-1");
  options.region = "evil.com/";
  CHECK(error_from([&] { resolve_aws_settings(world.surroundings(), options); }).code ==
        ExitCode::usage);
  CHECK(aws_domain("cn-north-1") == "amazonaws.com.cn");
  CHECK(aws_domain("eu-west-1") == "amazonaws.com");
}

TEST_CASE("aws settings: endpoint by option, variables, the profile's services, the profile") {
  AwsWorld world;
  AwsOptions options;
  const auto endpoint = [&] {
    return resolve_aws_settings(world.surroundings(), options).endpoint_url;
  };
  world.file(".aws/config",
             "[default]\nendpoint_url = http://h:1\ns3 =\n  addressing_style = virtual\n");
  CHECK(endpoint() == "http://h:1");
  CHECK(resolve_aws_settings(world.surroundings(), options).addressing ==
        AwsAddressing::virtual_host);
  CHECK(world.http.asked.empty());  // an endpoint of one's own: not EC2's region
  world.file(".aws/config",
             "[default]\nendpoint_url = http://h:1\nservices = mine\n"
             "[services mine]\ns3 =\n  endpoint_url = http://h:2/\n");
  CHECK(endpoint() == "http://h:2");
  world.variables["AWS_ENDPOINT_URL"] = "http://h:3";
  CHECK(endpoint() == "http://h:3");
  world.variables["AWS_ENDPOINT_URL_S3"] = "http://h:4/base/";
  CHECK(endpoint() == "http://h:4/base");
  options.endpoint_url = "https://h:5";
  CHECK(endpoint() == "https://h:5");
  for (const char* url : {"h:1", "http://user:hunter2@h", "http://h/?x", "http://", "s3://h"}) {
    options.endpoint_url = url;
    const Error error = error_from(endpoint);
    CHECK(error.code == ExitCode::usage);
    CHECK_FALSE(says(error, "hunter2"));
  }
  options.endpoint_url.clear();
  world.no_metadata();
  world.variables["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
  CHECK(endpoint().empty());
}
