#include "base/tool.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string_view>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/report_file.hpp"
#include "base/streams.hpp"
#include "base/version.hpp"

namespace mad {
namespace {

struct CommonOptions {
  bool quiet = false;
  bool verbose = false;
  bool version = false;
  std::string log_format = "text";
  std::string report_path;
  std::optional<std::string> deadline;
};

std::string environment_name(std::string_view tool, std::string_view option) {
  std::string name = std::string(tool) + '_' + std::string(option);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

void declare_common(CLI::App& app, CommonOptions& common) {
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.add_flag("--version", common.version, "Print the version and exit");
  auto* quiet = app.add_flag("-q,--quiet", common.quiet, "Say only warnings and errors");
  app.add_flag("-v,--verbose", common.verbose, "Say more")->excludes(quiet);
  app.add_option("--log-format", common.log_format, "How messages are written: text or json")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--report", common.report_path, "Write the outcome as one JSON object to FILE")
      ->type_name("FILE");
  app.add_option("--deadline", common.deadline,
                 "Be done or end in order, with 10, before SECONDS are over (also $MAD_DEADLINE)")
      ->type_name("SECONDS");
}

void finish_options(CLI::App& app, const char* tool) {
  for (CLI::Option* option : app.get_options()) {
    // CLI11 would split a value such as [a,b] at its commas.  Only a list of operands
    // needs the setting that does so.
    option->allow_extra_args(option->get_positional() && option->get_expected_max() > 1);
    const std::string long_name = option->get_lnames().empty() ? "" : option->get_lnames().front();
    if (long_name.empty() || long_name == "help" || long_name == "version") continue;
    option->envname(environment_name(tool, long_name));
  }
  for (CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    subcommand->fallthrough();  // the common options also stand behind it
    finish_options(*subcommand, tool);
  }
}

/// The arguments as CLI11 wants them, the last one first.  Of `--name=` alone it would take the
/// next word for the value.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> words;
  bool may_be_option = true;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    may_be_option = may_be_option && word != "--";
    const bool is_empty = may_be_option && word.size() > 3 && word.substr(0, 2) == "--" &&
                          word.find('=') == word.size() - 1;
    if (is_empty) word.pop_back();
    words.push_back(std::move(word));
    if (is_empty) words.emplace_back();
  }
  std::reverse(words.begin(), words.end());
  return words;
}

/// An option that names a file or a directory and got an empty name, as from a shell's "$UNSET";
/// empty variables of the environment never get as far.
const CLI::Option* option_without_name(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type != "PATH" && type != "FILE" && type != "DIR") continue;
    if (option->count() > 0 && option->results().front().empty()) return option;
  }
  for (const CLI::App* subcommand : app.get_subcommands()) {
    if (const CLI::Option* option = option_without_name(*subcommand)) return option;
  }
  return nullptr;
}

/// Where the report goes when the arguments could not be parsed.
std::string report_path_of(const char* tool, int argc, char** argv) {
  constexpr std::string_view k_option = "--report";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == k_option && i + 1 < argc) return argv[i + 1];
    if (word.substr(0, k_option.size() + 1) == "--report=") {
      return std::string(word.substr(k_option.size() + 1));
    }
  }
  const char* path = std::getenv(environment_name(tool, "report").c_str());
  return path == nullptr ? "" : path;
}

/// A surplus word may be a URL with a secret in it: only options are repeated.
std::string surplus(const std::vector<std::string>& words) {
  std::string message = "unexpected argument";
  for (const std::string& word : words) {
    if (word.substr(0, 1) == "-") message += " " + printable(word.substr(0, word.find('=')), 60);
  }
  return message;
}

int print_version(const char* name, const CommonOptions& common, About about) {
  std::printf("%s %s\n", name, k_version);
  if (common.verbose && about != nullptr) std::printf("%s\n", about().c_str());
  return std::fflush(stdout) == 0 ? 0 : static_cast<int>(ExitCode::io);
}

struct Outcome {
  ExitCode code = ExitCode::ok;
  int signal_number = 0;
};

Outcome guarded(Tool& tool, const std::function<ExitCode(Tool&)>& run) {
  const auto failed = [&](const Error& error) {
    log_error(error);
    if (tool.report.status().empty()) tool.report.set_status("error");
    if (tool.report.reason().empty()) tool.report.set_reason(error.reason);
    tool.report.set("subject", error.subject);
    tool.report.set("message", error.message);
    return Outcome{error.code, 0};
  };
  try {
    const ExitCode code = run(tool);
    if (tool.report.status().empty()) {
      tool.report.set_status(code == ExitCode::ok ? "ok" : "error");
    }
    return {code, 0};
  } catch (const Interrupted& interrupted) {
    tool.report.set_status("signal");
    tool.report.set_reason("signal");
    tool.report.set("signal", static_cast<std::uint64_t>(interrupted.signal_number));
    return {static_cast<ExitCode>(128 + interrupted.signal_number), interrupted.signal_number};
  } catch (const DeadlinePassed&) {
    return failed(deadline_error());
  } catch (const Error& error) {
    return failed(error);
  } catch (const std::bad_alloc&) {
    return failed({ExitCode::io, "no-memory", "memory", "the system gives no more of it"});
  } catch (const std::exception& error) {
    return failed({ExitCode::bug, "bug", "internal error", error.what(),
                   "this is a bug in the tool; please report it"});
  }
}

}  // namespace

int run_tool(const char* name, int argc, char** argv, AfterDashes after_dashes,
             const std::function<void(CLI::App&)>& declare,
             const std::function<ExitCode(Tool&)>& run, About about) {
  if (!fill_standard_streams()) return static_cast<int>(ExitCode::bug);

  Tool tool;
  CommonOptions common;
  configure_log(name, LogFormat::text, LogLevel::note);
  CLI::App app;
  app.name(name);
  declare(app);
  declare_common(app, common);
  finish_options(app, name);

  int own_argc = argc;
  for (int i = 1; i < argc && after_dashes == AfterDashes::command; ++i) {
    if (std::strcmp(argv[i], "--") != 0) continue;
    own_argc = i;
    tool.has_command = true;
    tool.command.assign(argv + i + 1, argv + argc);
    break;
  }
  tool.write_report = [&](ExitCode code) {
    write_report_file(common.report_path, tool.report.format(name, code));
    common.report_path.clear();
  };

  const auto usage = [&](const std::string& message) {
    log_error({ExitCode::usage, "usage", "usage", message,
               "see '" + std::string(name) + " --help' or man " + name});
    tool.report.set_status("error");
    tool.report.set_reason("usage");
    tool.report.set("message", message);
    tool.write_report(ExitCode::usage);
    return static_cast<int>(ExitCode::usage);
  };
  try {
    app.parse(arguments(own_argc, argv));
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : static_cast<int>(ExitCode::io);
  } catch (const CLI::ParseError& error) {
    if (common.version) return print_version(name, common, about);
    common.report_path = report_path_of(name, own_argc, argv);
    // What is missing may only be missing because of what was misspelt.
    const std::vector<std::string> words = app.remaining(true);
    return usage(words.empty() ? printable(error.what()) : surplus(words));
  }
  if (common.version) return print_version(name, common, about);
  if (const CLI::Option* option = option_without_name(app)) {
    return usage("--" + option->get_lnames().front() + ": expected a path, found an empty one");
  }
  configure_log(name, common.log_format == "json" ? LogFormat::json : LogFormat::text,
                common.quiet     ? LogLevel::warning
                : common.verbose ? LogLevel::verbose
                                 : LogLevel::note);
  tool.report_path = common.report_path;
  const bool starts_command = after_dashes == AfterDashes::command;
  std::optional<std::chrono::nanoseconds> time;
  try {
    time = chosen_deadline(common.deadline);
  } catch (const Error& error) {
    return usage(error.message);
  }
  install_interrupt_handlers();
  const Outcome outcome = guarded(tool, [&](Tool& ready) {
    if (time) set_deadline(*time, starts_command ? DeadlineEnd::soft : DeadlineEnd::hard);
    // A tool that starts a command has to say itself what becomes of that.
    if (!starts_command) check_interrupted();
    return run(ready);
  });
  if (outcome.code == ExitCode::ok) end_deadline();
  tool.write_report(outcome.code);
  if (outcome.signal_number != 0) die_of_signal(outcome.signal_number);
  return static_cast<int>(outcome.code);
}

void usage_error(const std::string& message) {
  throw Error(ExitCode::usage, "usage", "usage", message);
}

}  // namespace mad
