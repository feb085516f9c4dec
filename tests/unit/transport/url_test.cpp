#include "transport/url.hpp"

#include "support/catch.hpp"

using namespace mad;
using mad::test::error_from;

TEST_CASE("scheme_of: a path is no URL, and schemes are case-insensitive") {
  CHECK(scheme_of("HTTPS://host/x") == "https");
  CHECK(scheme_of("file:/x") == "file");
  CHECK(scheme_of("s3://bucket/x") == "s3");
  CHECK_FALSE(scheme_of("/x/sim.npz"));
  CHECK_FALSE(scheme_of("sim.npz"));
  CHECK_FALSE(scheme_of("./http://x"));
  CHECK_FALSE(scheme_of("c:/windows"));
  CHECK_FALSE(scheme_of("http:x"));
  CHECK_FALSE(scheme_of("1a://x"));
}

TEST_CASE("parse_url: takes a URL apart and keeps path and query as they are") {
  const Url url = parse_url("HTTP://us%40er:pa:ss@Host.Example:8080/a%2Fb/../c;x?sig=a%2Bb?c#frag");
  CHECK(url.scheme == "http");
  CHECK(url.userinfo == "us%40er:pa:ss");
  CHECK(url.host == "host.example");
  CHECK(url.port == std::uint16_t{8080});
  CHECK(url.path == "/a%2Fb/../c;x");
  CHECK(url.query == "?sig=a%2Bb?c");
  CHECK(request_url(url) == "http://host.example:8080/a%2Fb/../c;x?sig=a%2Bb?c");
}

TEST_CASE("parse_url: an IPv6 address, an empty path, bytes a request cannot carry") {
  CHECK(request_url(parse_url("http://[FE80::1]:80")) == "http://[fe80::1]:80/");
  CHECK(parse_url("http://h?q").path == "/");
  CHECK(parse_url("http://h/a b\xC3\xBC\"<>").path == "/a%20b%C3%BC%22%3C%3E");
}

TEST_CASE("parse_url: what is no URL is a usage error") {
  for (const char* text :
       {"http://", "http:///x", "http://h:0/", "http://h:65536/", "http://h:1x/", "http://[::1/",
        "http://[1]/", "http://[::1]x/", "http://a b/", "http://a\\b/", "http://h\\@other/",
        "http://h%00/", "http://h\x01/", "http://h/\n", "sim.npz", "http://h\xC3\xBC/"}) {
    INFO(text);
    CHECK(error_from([&] { parse_url(text); }).code == ExitCode::usage);
  }
}

TEST_CASE("display_url: neither userinfo nor query is shown") {
  const std::string text = "https://user:secret@h/p?secret#secret";
  CHECK(display_url(parse_url(text)) == "https://h/p?…");
  CHECK(display_url_text(text) == "https://h/p?…");
  CHECK(display_url_text("zz://u:secret@x@h/p?secret") == "zz://h/p?…");
  CHECK(display_url_text("http://u:sec/ret@h/p") == "http://h/p");
  CHECK(display_url_text("http://h/p") == "http://h/p");
  CHECK(display_url(parse_url("http://h/\xE2\x80\xAE")).find("\xE2") == std::string::npos);
}

TEST_CASE("same_origin: scheme, host and port, default ports included") {
  const Url url = parse_url("https://h/x");
  CHECK(same_origin(url, parse_url("https://u:p@H:443/y")));
  CHECK_FALSE(same_origin(url, parse_url("http://h/x")));
  CHECK_FALSE(same_origin(url, parse_url("https://h:444/x")));
  CHECK_FALSE(same_origin(url, parse_url("https://h./x")));
  CHECK_FALSE(same_origin(parse_url("http://h:443/x"), url));
}

TEST_CASE("resolve_reference: the examples of RFC 3986, 5.4, that HTTP servers send") {
  const Url base = parse_url("http://u:p@a/b/c/d;p?q");
  const auto resolved = [&](const char* reference) {
    return request_url(resolve_reference(base, reference));
  };
  CHECK(resolved("g") == "http://a/b/c/g");
  CHECK(resolved("./g") == "http://a/b/c/g");
  CHECK(resolved("g/") == "http://a/b/c/g/");
  CHECK(resolved("/g") == "http://a/g");
  CHECK(resolved("//g") == "http://g/");
  CHECK(resolved("?y") == "http://a/b/c/d;p?y");
  CHECK(resolved("g?y") == "http://a/b/c/g?y");
  CHECK(resolved("#s") == "http://a/b/c/d;p?q");
  CHECK(resolved("g#s") == "http://a/b/c/g");
  CHECK(resolved("") == "http://a/b/c/d;p?q");
  CHECK(resolved(".") == "http://a/b/c/");
  CHECK(resolved("..") == "http://a/b/");
  CHECK(resolved("../g") == "http://a/b/g");
  CHECK(resolved("../..") == "http://a/");
  CHECK(resolved("../../../g") == "http://a/g");
  CHECK(resolved("g/../h?x=../y") == "http://a/b/c/h?x=../y");
  CHECK(resolved("https://x/y") == "https://x/y");
}

TEST_CASE("resolve_reference: userinfo of the target is dropped") {
  CHECK(resolve_reference(parse_url("http://a/"), "http://u:p@b/").userinfo.empty());
  CHECK(resolve_reference(parse_url("http://u:p@a/"), "/x").userinfo.empty());
}

TEST_CASE("resolve_reference: what cannot be followed is a remote error") {
  for (const char* text : {"data:text/plain,x", "mailto:x", "http://", "//", "http://a b/"}) {
    INFO(text);
    CHECK(error_from([&] { resolve_reference(parse_url("http://a/"), text); }).code ==
          ExitCode::remote);
  }
}

TEST_CASE("with_path_suffix: comes before the query") {
  CHECK(request_url(with_path_suffix(parse_url("http://a/x.npz?sig=1"), ".manifest.json")) ==
        "http://a/x.npz.manifest.json?sig=1");
}

TEST_CASE("percent_decode: decodes, and refuses bad escapes") {
  CHECK(percent_decode("a%41%7e+") == "aA~+");
  for (const char* text : {"%", "%4", "%4g", "a%"}) CHECK_FALSE(percent_decode(text));
  CHECK(last_component(parse_url("http://a/b/c%20d.npz?x/y")) == "c d.npz");
}

TEST_CASE("path_of_file_url: this machine's files only") {
  CHECK(path_of_file_url("file:///a%20b") == "/a b");
  CHECK(path_of_file_url("FILE://LocalHost/a") == "/a");
  CHECK(path_of_file_url("file:/a") == "/a");
  for (const char* text : {"file://host/a", "file://", "file:///a%00", "file:///a%", "file:///a?b",
                           "file:///a#b", "file://localhosts/a"}) {
    INFO(text);
    CHECK(error_from([&] { path_of_file_url(text); }).code == ExitCode::usage);
  }
}

TEST_CASE("parse_url: an object's name is taken literally and encoded whole") {
  const Url url = parse_url("S3://My.Bucket_1/d//e/x/../y p%25?q#1+\xC3\xBC");
  CHECK(url.scheme == "s3");
  CHECK(url.host == "My.Bucket_1");
  CHECK(url.path == "/d//e/x/../y%20p%2525%3Fq%231%2B%C3%BC");
  CHECK(url.query.empty());
  CHECK(last_component(url) == "y p%25?q#1+\xC3\xBC");
  CHECK(with_path_suffix(url, ".manifest.json").path == url.path + ".manifest.json");
  CHECK(parse_url("gs://b").path == "/");
  CHECK(parse_url("s3://b//k").path == "//k");
}

TEST_CASE("parse_url: a shared access signature ends an az URL, and nothing else does") {
  const Url url = parse_url("az://c/what?.npz?sv=1&sig=a%2Bb");
  CHECK(url.path == "/what%3F.npz");
  CHECK(url.query == "?sv=1&sig=a%2Bb");
  CHECK(parse_url("az://c/b?design=1").query.empty());
}

TEST_CASE("parse_url: what names no object is a usage error that quotes no secret") {
  for (const char* text : {"s3://", "s3:///key", "s3://key:secret@bucket/x", "s3://b:80/x",
                           "s3://b%2F/x", "gs://b c/x", "s3://b/\n"}) {
    INFO(text);
    const Error error = error_from([&] { parse_url(text); });
    CHECK(error.code == ExitCode::usage);
    CHECK(std::string(error.what()).find("secret") == std::string::npos);
  }
}

TEST_CASE("redacted_url: the name as it is, secrets as hidden as for people") {
  Url url = parse_url("s3://b/k?X-Amz-Signature=secret");
  url.path = "/new%0Aline" + std::string(300, 'x') + "%3Fsecret";
  CHECK(redacted_url(url) == "s3://b/new\nline" + std::string(300, 'x') + "?…");
  CHECK(redacted_url_text("http://u:sec/ret@h/\x1b?secret") == "http://h/\x1b?…");
  CHECK(display_url(url).find('\n') == std::string::npos);
}

TEST_CASE("display_url: an object as it was given, nothing after a question mark") {
  CHECK(display_url(parse_url("s3://b/a b%41")) == "s3://b/a b%41");
  CHECK(display_url(parse_url("s3://b/k?X-Amz-Signature=secret")) == "s3://b/k?…");
  CHECK(display_url(parse_url("az://c/b?sv=1&sig=secret")) == "az://c/b?…");
  CHECK(display_url(parse_url("s3://b/a:b@c")) == "s3://b/a:b@c");
}

TEST_CASE("same_origin: of objects, the bucket") {
  CHECK(same_origin(parse_url("s3://b/x"), parse_url("s3://b/y")));
  CHECK_FALSE(same_origin(parse_url("s3://b/x"), parse_url("s3://c/x")));
  CHECK_FALSE(same_origin(parse_url("s3://b/x"), parse_url("gs://b/x")));
}
