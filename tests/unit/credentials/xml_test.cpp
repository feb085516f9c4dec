#include "credentials/xml.hpp"

#include "support/catch.hpp"

using namespace mad;
using mad::test::error_from;

TEST_CASE("parse_xml: elements, text, prefixes, attributes, comments, CDATA") {
  const XmlElement root = parse_xml(
      "\xEF\xBB\xBF<?xml version=\"1.0\"?>\n<!-- <no> -->\n<s3:R xmlns:s3='x>y' a=\"/\">"
      "<K>a&amp;b&lt;&gt;&quot;&apos;&#65;&#x20AC;</K><E/><E></E ><K>c<![CDATA[<&]]>d</K></s3:R>\n",
      "an answer");
  CHECK(root.name == "R");
  CHECK(root.children.size() == 4);
  CHECK(root.text_of("K") == "a&b<>\"'A\xE2\x82\xAC");
  CHECK(root.children[3].text == "c<&d");
  CHECK(root.find("E") != nullptr);
  CHECK(root.find("none") == nullptr);
  CHECK(root.text_of("none").empty());
}

TEST_CASE("parse_xml: what is not well-formed, or defines entities, is refused") {
  for (const char* text : {"",
                           "x",
                           "<a>",
                           "<a></b>",
                           "<a/><b/>",
                           "<a/>x",
                           "<a b></a>",
                           "<a b=c/>",
                           "<a b='/>",
                           "<a>&x;</a>",
                           "<a>&</a>",
                           "<a>&#0;</a>",
                           "<a>&#xD800;</a>",
                           "<a>&#x110000;</a>",
                           "<a>&#99999999;</a>",
                           "<!DOCTYPE a><a/>",
                           "<a><!-- </a>",
                           "<a><![CDATA[</a>",
                           "<a",
                           "<a>\xFF</a>",
                           "</a>",
                           "< a/>",
                           "<a/",
                           "<a b='1'c='2'/>"}) {
    INFO(text);
    const Error error = error_from([&] { parse_xml(text, "the answer"); });
    CHECK(error.reason == "bad-answer");
    CHECK(error.code == ExitCode::remote);
    CHECK(error.subject == "the answer");
  }
}

TEST_CASE("parse_xml: depth and number of elements are bounded") {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  CHECK(error_from([&] { parse_xml(deep, "x"); }).message.find("too deeply") != std::string::npos);
  std::string many = "<r>";
  for (int i = 0; i < 200'000; ++i) many += "<a/>";
  CHECK(error_from([&] { parse_xml(many + "</r>", "x"); }).message.find("too many") !=
        std::string::npos);
}
