#include "options.hpp"

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "base/tool.hpp"

namespace mad {

void declare_resume(CLI::App& app, ResumeCommand& c) {
  app.description(
      "Deliver a verified bundle as snapshot and state, then run a command in its place.\n"
      "COMMAND and its words stand after --; it starts whether or not there was something to "
      "resume");
  app.add_option("--snapshot", c.resume.snapshot, "Publish the snapshot at PATH")
      ->type_name("PATH");
  app.add_option("--state-dir", c.resume.state, "Replace the arrays in DIR, all or none")
      ->type_name("DIR");
  app.add_option("--expect", c.resume.expect, "Take only a state with this topology")
      ->type_name("TOPOLOGY");
  app.add_option("--env-file", c.env_file, "Write the outcome to FILE for a shell to read")
      ->type_name("FILE");
  app.add_flag("--require", c.require, "Without a resume, do not start COMMAND (exit 125)");
  app.add_option("--notify", c.notify, "After a failure run CMD with sh -c")->type_name("CMD");
  app.add_option("--notify-timeout", c.notify_timeout_s, "Wait so long for CMD, then kill it")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0));
  app.add_flag("--skip-integrity-check", c.resume.accept_unverified,
               "Take a bundle whose check was skipped");
  app.add_option("--max-size", c.max_size, "Refuse more bytes, packed or unpacked")
      ->type_name("SIZE");
  app.add_option("--durability", c.durability, "full, or none: do not wait for the disk")
      ->check(CLI::IsMember({"full", "none"}));
  app.add_option("--lock-timeout", c.lock_timeout_s, "Wait so long for another run's lock")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
}

ResumeOptions resume_options(const ResumeCommand& command) {
  ResumeOptions options = command.resume;
  if (!command.max_size.empty()) {
    const auto bytes = parse_size(command.max_size);
    if (!bytes) usage_error("--max-size: expected a size such as 8G, found " + command.max_size);
    options.max_bytes = *bytes;
  }
  if (command.env_file && command.env_file->empty()) usage_error("--env-file: expected a path");
  options.durability = command.durability == "none" ? Durability::none : Durability::full;
  options.lock_timeout_ms = static_cast<int>(command.lock_timeout_s * 1000);
  check_places(options);
  return options;
}

}  // namespace mad
