#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "io/fd.hpp"

namespace mad::fuzz {

/// The proxy of everything that this process asks for from its construction on, so that
/// nothing leaves the machine: a connection is given the next of the answers that there
/// are, as it is, and closed.
class AnsweringProxy {
 public:
  AnsweringProxy();
  ~AnsweringProxy();
  AnsweringProxy(const AnsweringProxy&) = delete;
  AnsweringProxy& operator=(const AnsweringProxy&) = delete;

  /// `answers` are separated by `\x1e`.
  void answer_with(std::string_view answers);

 private:
  void serve();
  std::string take_answer();

  Fd listener_;
  std::mutex mutex_;
  std::vector<std::string> answers_;
  std::thread thread_;
};

}  // namespace mad::fuzz
