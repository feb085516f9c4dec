#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mad {

/// An element of the small XML documents that object stores answer with: a name without
/// its namespace prefix, the text directly within, the elements within.
struct XmlElement {
  std::string name;
  std::string text;
  std::vector<XmlElement> children;

  /// The first child of that name, or nothing.
  const XmlElement* find(std::string_view child) const;
  XmlElement* find(std::string_view child);
  /// The text of that child; empty where there is none.
  std::string_view text_of(std::string_view child) const;
};

/// The root element of a whole document in UTF-8.
///
/// Strict where it matters: tags must match, the five named entities and character
/// references alone, no document type, nothing after the root; at most 32 levels and
/// 200,000 elements.  Attributes, comments and processing instructions are passed over.
/// Throws Error(remote, `bad-answer`, `subject`) with the offset, quoting nothing.
XmlElement parse_xml(std::string_view text, const std::string& subject);

}  // namespace mad
