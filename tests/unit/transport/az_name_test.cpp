#include "transport/az_name.hpp"

#include "support/catch.hpp"

using namespace mad;
using mad::test::error_from;

namespace {

std::string named(const char* url, const std::string& environment_account) {
  const AzName name = parse_az_name(parse_url(url), environment_account);
  return name.account + " " + name.container + " " + name.blob;
}

}  // namespace

TEST_CASE("parse_az_name: the account is the environment's where it says one") {
  CHECK(named("az://cont/b/x", "acct") == " cont b/x");
  CHECK(named("azure://cont/b", "acct") == " cont b");
  CHECK(named("az://acct/cont/b/x", "acct") == "acct cont b/x");
  CHECK(named("az://cont", "acct") == " cont ");
  CHECK(named("az://acct/b", "acct") == " acct b");
}

TEST_CASE("parse_az_name: else the URL's first part is the account where another follows") {
  CHECK(named("az://acct/cont/b/x", "") == "acct cont b/x");
  CHECK(named("az://acct/cont/", "") == "acct cont ");
  CHECK(named("az://cont/b", "") == " cont b");
}

TEST_CASE("parse_az_name: an https URL has the account in its host, an emulator's in its path") {
  CHECK(named("https://a.blob.core.windows.net/cont/a%20b?sv=1&sig=x", "") == " cont a%20b");
  CHECK(named("http://127.0.0.1:10000/acct/cont/b/x?sv=1&sig=x", "other") == "acct cont b/x");
  CHECK(
      parse_az_name(parse_url("https://a.blob.core.windows.net/cont/a%20b"), "").path_before_blob ==
      "/cont/");
}

TEST_CASE("parse_az_name: what is no container is a usage error") {
  CHECK(named("az://$web/b", "acct") == " %24web b");
  for (const char* url :
       {"az://ab/x", "az://Cont/x", "az://a.b.c/x", "az://acct/../x",
        "https://a.blob.core.windows.net/?sv=1&sig=x", "http://127.0.0.1/acct?sv=1&sig=x"}) {
    INFO(url);
    CHECK(error_from([&] { parse_az_name(parse_url(url), "acct"); }).code == ExitCode::usage);
  }
}

TEST_CASE("is_az_web_url: a signature of Azure's, at a host of its blob service") {
  CHECK(is_az_web_url(parse_url("https://a.blob.core.windows.net/c/b?sv=2021&sr=b&sig=x")));
  CHECK(is_az_web_url(parse_url("https://a.blob.core.chinacloudapi.cn/c/b?sig=x&sv=2021")));
  CHECK(is_az_web_url(parse_url("http://127.0.0.1:10000/a/c/b?sv=2021&sig=x")));
  CHECK_FALSE(is_az_web_url(parse_url("https://a.blob.core.windows.net/c/b")));
  CHECK_FALSE(is_az_web_url(parse_url("https://a.file.core.windows.net/c/b?sv=2021&sig=x")));
  CHECK_FALSE(is_az_web_url(parse_url("https://host/c/b?sv=2021&sig=x")));
  CHECK_FALSE(is_az_web_url(parse_url("az://c/b?sv=2021&sig=x")));
}
