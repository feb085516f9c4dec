#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "credentials/surroundings.hpp"
#include "support/catch.hpp"

namespace mad::test {

/// Answers from a list.  A stand-in, because none of these services can run here: STS,
/// the metadata services at link-local addresses and the vendors' token endpoints exist in
/// their clouds only.  What they are asked is checked against their documentation.
class ScriptedHttp final : public HttpPort {
 public:
  /// For the next request, which must be `METHOD URL`.  A status of 0 is no answer.
  void expect(std::string request, int status, std::string body,
              std::vector<std::pair<std::string, std::string>> headers = {}) {
    script_.push_back({std::move(request), status, std::move(body), std::move(headers)});
  }

  HttpAnswer ask(const HttpAsk& ask) override {
    asked.push_back(ask);
    INFO("asked " << ask.method << ' ' << ask.url);
    REQUIRE(asked.size() <= script_.size());
    const Step& step = script_[asked.size() - 1];
    REQUIRE(ask.method + ' ' + ask.url == step.request);
    if (step.status == 0) {
      throw Error(ExitCode::remote, "connect", ask.url, "cannot connect");
    }
    return {step.status, step.headers, Secret::copy_of(step.body)};
  }

  /// Whether all that was expected was asked.
  bool done() const { return asked.size() == script_.size(); }

  std::string sent_header(std::size_t request, const std::string& name) const {
    for (const auto& [header, value] : asked.at(request).headers) {
      if (header == name) return std::string(value.reveal());
    }
    return {};
  }
  std::string sent_body(std::size_t request) const {
    return std::string(asked.at(request).body.reveal());
  }

  std::vector<HttpAsk> asked;

 private:
  struct Step {
    std::string request;
    int status;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
  };
  std::vector<Step> script_;
};

/// An environment, a clock and services of the test's own.
struct World {
  ScriptedHttp http;
  std::map<std::string, std::string> variables;
  std::int64_t now = 1'700'000'000;  // 2023-11-14T22:13:20Z
  std::optional<Cloud> firmware;

  Surroundings surroundings() {
    Surroundings made;
    made.http = &http;
    made.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto at = variables.find(name);
      if (at == variables.end()) return std::nullopt;
      return at->second;
    };
    made.now = [this] { return now; };
    made.wait = [](std::chrono::milliseconds) {};
    made.firmware = [this] { return firmware; };
    return made;
  }
};

/// Whether an error as it is printed says `text`.
inline bool says(const Error& error, const std::string& text) {
  return (std::string(error.what()) + '\n' + error.hint).find(text) != std::string::npos;
}

}  // namespace mad::test
