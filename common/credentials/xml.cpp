#include "credentials/xml.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

constexpr unsigned k_max_depth = 32;
constexpr unsigned k_max_elements = 200'000;

std::string encode_utf8(std::uint32_t code) {
  const auto tail = [&](unsigned shift) {
    return static_cast<char>(0x80U | (code >> shift & 0x3FU));
  };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0U | code >> 6U), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0U | code >> 12U), tail(6), tail(0)};
  return {static_cast<char>(0xF0U | code >> 18U), tail(12), tail(6), tail(0)};
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& subject) : text_(text), subject_(subject) {}

  XmlElement document() {
    if (!is_utf8(text_)) fail("invalid UTF-8");
    take("\xEF\xBB\xBF");
    skip_between();
    XmlElement root;
    element(root, 1);
    skip_between();
    if (at_ != text_.size()) fail("text after the root element");
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ExitCode::remote, "bad-answer", subject_,
                "no valid XML: " + what + " at byte " + std::to_string(at_));
  }

  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  void skip_past(std::string_view end, const char* what) {
    const auto found = text_.find(end, at_);
    if (found == std::string_view::npos) fail(std::string(what) + " that does not end");
    at_ = found + end.size();
  }

  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  /// Comments and processing instructions; false where neither stands here.
  bool skip_aside() {
    if (take("<!--")) {
      skip_past("-->", "a comment");
    } else if (take("<?")) {
      skip_past("?>", "a processing instruction");
    } else {
      return false;
    }
    return true;
  }

  void skip_between() {
    do {
      skip_blanks();
    } while (skip_aside());
  }

  std::string_view name() {
    const auto end = std::min(text_.find_first_of(" \t\r\n/>=<\"'&!?", at_), text_.size());
    if (end == at_) fail("expected a name");
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end;
    return found;
  }

  void attributes() {
    for (;;) {
      const std::size_t before = at_;
      skip_blanks();
      if (at_ == text_.size() || text_[at_] == '>' || text_[at_] == '/') return;
      if (at_ == before) fail("expected a blank before an attribute");
      name();
      skip_blanks();
      if (!take("=")) fail("expected '=' after an attribute's name");
      skip_blanks();
      const std::string_view quote = text_.substr(at_, 1);
      if (quote != "\"" && quote != "'") fail("expected a quoted attribute");
      ++at_;
      skip_past(quote, "an attribute");
    }
  }

  void reference(std::string& into) {
    const auto end = text_.find(';', at_);
    if (end == std::string_view::npos || end - at_ > 10) fail("an '&' that begins no reference");
    std::string_view word = text_.substr(at_ + 1, end - at_ - 1);
    if (word == "amp") {
      into += '&';
    } else if (word == "lt") {
      into += '<';
    } else if (word == "gt") {
      into += '>';
    } else if (word == "quot") {
      into += '"';
    } else if (word == "apos") {
      into += '\'';
    } else {
      into += encode_utf8(character(word));
    }
    at_ = end + 1;
  }

  std::uint32_t character(std::string_view word) const {
    if (word.substr(0, 1) != "#") fail("an entity that is not defined");
    word.remove_prefix(1);
    const bool hex = word.substr(0, 1) == "x";
    if (hex) word.remove_prefix(1);
    std::uint32_t code = 0;
    if (word.empty()) fail("an empty character reference");
    for (const char c : word) {
      const auto digit = std::string_view("0123456789abcdef")
                             .find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
      if (digit >= (hex ? 16U : 10U)) fail("a character reference that is no number");
      code = code * (hex ? 16U : 10U) + static_cast<std::uint32_t>(digit);
      if (code > 0x10FFFF) fail("a character that Unicode does not have");
    }
    if (code == 0 || (code >= 0xD800 && code <= 0xDFFF)) fail("a character that XML does not have");
    return code;
  }

  void element(XmlElement& into, unsigned depth) {
    if (depth > k_max_depth) fail("elements nested too deeply");
    if (++elements_ > k_max_elements) fail("too many elements");
    if (!take("<")) fail("expected an element");
    const std::string_view tag = name();
    into.name = std::string(tag.substr(tag.rfind(':') + 1));
    attributes();
    if (take("/>")) return;
    if (!take(">")) fail("expected '>'");
    content(into, depth);
    if (name() != tag) fail("an end tag of another element");
    skip_blanks();
    if (!take(">")) fail("expected '>'");
  }

  /// Up to and over the `</` of the end tag.
  void content(XmlElement& into, unsigned depth) {
    for (;;) {
      if (at_ == text_.size()) fail("an element that does not end");
      if (text_[at_] == '&') {
        reference(into.text);
      } else if (text_[at_] != '<') {
        const auto end = std::min(text_.find_first_of("<&", at_), text_.size());
        into.text += text_.substr(at_, end - at_);
        at_ = end;
      } else if (take("</")) {
        return;
      } else if (take("<![CDATA[")) {
        const std::size_t begin = at_;
        skip_past("]]>", "a CDATA section");
        into.text += text_.substr(begin, at_ - 3 - begin);
      } else if (!skip_aside()) {
        element(into.children.emplace_back(), depth + 1);
      }
    }
  }

  std::string_view text_;
  const std::string& subject_;
  std::size_t at_ = 0;
  unsigned elements_ = 0;
};

}  // namespace

const XmlElement* XmlElement::find(std::string_view child) const {
  for (const XmlElement& element : children) {
    if (element.name == child) return &element;
  }
  return nullptr;
}

XmlElement* XmlElement::find(std::string_view child) {
  return const_cast<XmlElement*>(std::as_const(*this).find(child));
}

std::string_view XmlElement::text_of(std::string_view child) const {
  const XmlElement* const element = find(child);
  return element == nullptr ? std::string_view() : std::string_view(element->text);
}

XmlElement parse_xml(std::string_view text, const std::string& subject) {
  return Parser(text, subject).document();
}

}  // namespace mad
