#include "credentials/aws_profile.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_lines = 100'000;
constexpr std::string_view k_blanks = " \t";

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(k_blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(k_blanks) - begin + 1);
}

std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 1; i < line.size(); ++i) {
    if ((line[i] == '#' || line[i] == ';') && k_blanks.find(line[i - 1]) != k_blanks.npos) {
      return line.substr(0, i);
    }
  }
  return line;
}

/// `profile  "a b"` to `profile a b`.
std::string section_name(std::string_view text) {
  text = trim(text);
  const auto gap = text.find_first_of(k_blanks);
  if (gap == std::string_view::npos) return std::string(text);
  std::string_view rest = trim(text.substr(gap));
  if (rest.size() >= 2 && (rest[0] == '"' || rest[0] == '\'') && rest.back() == rest[0]) {
    rest = rest.substr(1, rest.size() - 2);
  }
  return std::string(text.substr(0, gap)) + ' ' + std::string(rest);
}

}  // namespace

class AwsFileParser {
 public:
  AwsFileParser(std::string_view section, const std::string& subject)
      : section_(section), subject_(subject) {}

  std::optional<AwsSection> parse(std::string_view text) {
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (++line_ > k_max_lines) fail("fewer lines");
      if (line.find('\0') != std::string_view::npos) fail("text");
      take(line);
    }
    if (!found_) return std::nullopt;
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw invalid_credentials(subject_, "line " + std::to_string(line_) + ": expected " + expected);
  }

  void take(std::string_view line) {
    const std::string_view content = trim(line);
    if (content.empty() || content[0] == '#' || content[0] == ';') return;
    const auto indent = static_cast<std::size_t>(content.data() - line.data());
    if (!key_.empty() && indent > key_indent_) {
      nested(content);
    } else if (content[0] == '[') {
      header(content);
    } else {
      key_indent_ = indent;
      assignment(content);
    }
  }

  void header(std::string_view content) {
    const auto end = content.find(']');
    if (end == std::string_view::npos) fail("']' at the end of a section's name");
    inside_ = section_name(content.substr(1, end - 1)) == section_;
    found_ = found_ || inside_;
    in_section_ = true;
    key_.clear();
  }

  void assignment(std::string_view content) {
    const auto equals = content.find('=');
    if (equals == std::string_view::npos || equals == 0) fail("'[section]' or 'key = value'");
    if (!in_section_) fail("a section before the first key");
    key_ = lower_ascii(trim(content.substr(0, equals)));
    const std::string_view value = trim(without_comment(content.substr(equals + 1)));
    block_ = value.empty();
    store(key_, value);
  }

  /// A line deeper than its key: of a nested block, or the rest of a value that no key of ours has.
  void nested(std::string_view content) {
    const auto equals = content.find('=');
    if (!block_ || equals == std::string_view::npos) return;
    store(key_ + '.' + lower_ascii(trim(content.substr(0, equals))),
          trim(without_comment(content.substr(equals + 1))));
  }

  void store(const std::string& key, std::string_view value) {
    if (inside_) result_.values_[key] = Secret::copy_of(value);
  }

  const std::string_view section_;
  const std::string& subject_;
  AwsSection result_;
  std::string key_;
  std::size_t key_indent_ = 0;
  std::size_t line_ = 0;
  bool found_ = false;
  bool in_section_ = false;
  bool inside_ = false;
  bool block_ = false;
};

Secret AwsSection::find(const std::string& key) const {
  const auto at = values_.find(key);
  return at == values_.end() ? Secret() : at->second;
}

std::optional<std::string> AwsSection::text(const std::string& key) const {
  const Secret value = find(key);
  if (value.empty()) return std::nullopt;
  return std::string(value.reveal());
}

std::optional<AwsSection> parse_aws_section(std::string_view text, std::string_view section,
                                            const std::string& subject) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  return AwsFileParser(section, subject).parse(text);
}

std::optional<std::string> AwsProfile::text(const std::string& key) const {
  for (const auto* section : {&credentials, &config}) {
    if (!*section) continue;
    if (auto value = (*section)->text(key)) return value;
  }
  return std::nullopt;
}

AwsProfile read_aws_profile(const Surroundings& surroundings, const AwsOptions& options) {
  AwsProfile profile;
  const auto variable = surroundings.variable("AWS_PROFILE");
  profile.named = !options.profile.empty() || variable.has_value();
  profile.name = !options.profile.empty() ? options.profile : variable.value_or("default");
  const auto read = [&](const char* file_variable, const char* usual, std::string& path) {
    const auto given = surroundings.variable(file_variable);
    path = surroundings.expand_home(given.value_or(usual));
    return read_credentials_file(path, given ? FilePlace::named : FilePlace::usual);
  };

  if (const auto text =
          read("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile.credentials_path)) {
    profile.credentials = parse_aws_section(text->reveal(), section_name(profile.name),
                                            printable(profile.credentials_path));
  }
  if (const auto text = read("AWS_CONFIG_FILE", "~/.aws/config", profile.config_path)) {
    const auto section = [&](const std::string& name) {
      return parse_aws_section(text->reveal(), name, printable(profile.config_path));
    };
    profile.config = section("profile " + profile.name);
    if (!profile.config && profile.name == "default") profile.config = section("default");
    if (const auto services = profile.text("services")) {
      profile.services = section("services " + *services);
    }
  }
  return profile;
}

}  // namespace mad
