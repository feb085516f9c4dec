#include <sys/wait.h>

#include "credentials/aws_providers.hpp"
#include "credentials/service.hpp"
#include "process/run.hpp"

namespace mad {
namespace {

constexpr int k_timeout_ms = 60'000;
constexpr std::size_t k_max_output_bytes = std::size_t{64} * 1024;

/// How the program ended, for people; nothing where it ended well.
std::optional<std::string> failure_of(const ShellRun& run) {
  switch (run.end) {
    case ShellEnd::timed_out:
      return "did not end within " + std::to_string(k_timeout_ms / 1000) + " s";
    case ShellEnd::too_long:
      return "wrote more than " + std::to_string(k_max_output_bytes) + " bytes";
    case ShellEnd::exited:
      break;
  }
  if (WIFSIGNALED(run.wait_status)) {
    return "ended by signal " + std::to_string(WTERMSIG(run.wait_status));
  }
  if (WEXITSTATUS(run.wait_status) == 0) return std::nullopt;
  return "exited with " + std::to_string(WEXITSTATUS(run.wait_status));
}

}  // namespace

AwsProvider aws_process(const Surroundings& surroundings, const AwsOptions& options) {
  return {[surroundings, options](Looked& looked) -> std::optional<AwsCredentials> {
    const AwsProfile profile = read_aws_profile(surroundings, options);
    const auto command = profile.text("credential_process");
    if (!command) {
      looked.push_back("credential_process: profile " + printable(profile.name) + " has none");
      return std::nullopt;
    }
    // The command line is not shown: people put tokens into it.
    const std::string subject = "credential_process of profile " + printable(profile.name);
    ShellRun run = capture_shell(*command, k_timeout_ms, k_max_output_bytes);
    const Secret output(std::move(run.output));
    if (const auto failure = failure_of(run)) throw invalid_credentials(subject, *failure);
    if (JsonFields(output, subject).find_number("Version") != 1) {
      throw invalid_credentials(subject, "expected 'Version' 1");
    }
    return read_aws_json(output, subject, "SessionToken", subject);
  }};
}

}  // namespace mad
