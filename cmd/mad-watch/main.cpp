// mad-watch: wait for the cloud's notice that this machine is taken away, and say it.
// Contract, output and exit codes: man/mad-watch.1.
#include <CLI/CLI.hpp>

#include "base/tool.hpp"
#include "notice/watch_command.hpp"

namespace {

using mad::WatchOptions;

void declare(CLI::App& app, WatchOptions& o) {
  app.description(
      "Wait for the cloud's notices and print each as a line of JSON.\n"
      "COMMAND and its words stand after --; it runs for each preemption");
  app.add_option("--provider", o.provider, "Whose: auto (default), aws, gcp or azure")
      ->check(CLI::IsMember({"auto", "aws", "gcp", "azure"}));
  app.add_option("--on", o.on, "The kinds acted on: preemption (default), rebalance, maintenance")
      ->type_name("KINDS");
  auto* pid =
      app.add_option("--pid", o.pid, "Signal process PID instead, and end when it has ended")
          ->type_name("PID");
  app.add_option("--signal", o.signal, "What PID is sent (default TERM)")
      ->type_name("NAME")
      ->needs(pid);
  app.add_flag("--once", o.once, "End after the first notice acted on, with COMMAND's status");
  app.add_flag("--acknowledge", o.acknowledge,
               "Azure: when COMMAND succeeded, let the event go ahead");
  app.add_option("--vm-name", o.vm_name, "Azure: this machine's name, instead of its metadata's")
      ->type_name("NAME");
  app.add_option("--interval", o.interval_s, "Time between two questions (default by provider)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 3600.0));
  app.add_option("--endpoint", o.endpoint, "Where the metadata service is")->type_name("URL");
}

mad::ExitCode run(const WatchOptions& options, mad::Tool& tool) {
  if (tool.has_command && tool.command.empty()) {
    mad::usage_error("expected a command after '--'");
  }
  return mad::watch_command(options, tool.command, tool.report);
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<WatchOptions, mad::AfterDashes::command>("mad-watch", argc, argv, declare,
                                                                 run);
}
