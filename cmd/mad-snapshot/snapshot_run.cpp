#include "snapshot_run.hpp"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/tool.hpp"
#include "bundle/bundle_writer.hpp"
#include "hash/ed25519.hpp"
#include "io/pipe.hpp"
#include "io/spool.hpp"
#include "process/pause.hpp"
#include "server/live_server.hpp"
#include "transport/url.hpp"

namespace mad {
namespace {

SnapshotRequest request_of(const SnapshotCommand& command) {
  SnapshotRequest request;
  request.state = command.state;
  request.compression = command.compress ? NpzCompression::deflate : NpzCompression::none;
  request.member_table = !command.no_members;
  request.first = command.first;
  std::optional<std::string> session_id;
  if (!command.session_id.empty()) session_id = command.session_id;
  request.extra = make_extra(command.extra_file, command.extra, session_id, command.stage);
  return request;
}

std::optional<mode_t> parse_mode(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text.size() > 4 || text.find_first_not_of("01234567") != std::string::npos ||
      std::strtoul(text.c_str(), nullptr, 8) > 0777) {
    usage_error("--mode: expected octal digits up to 0777, found '" + printable(text) + "'");
  }
  return static_cast<mode_t>(std::strtoul(text.c_str(), nullptr, 8));
}

/// Holds the processes until the request has read the state.
class Hold {
 public:
  Hold(const std::vector<pid_t>& pids, SnapshotRequest& request) {
    if (pids.empty()) return;
    paused_.emplace(pids);
    request.state_was_read = [this] {
      paused_->check_still_held();
      paused_->release();
    };
  }

 private:
  std::optional<PausedProcesses> paused_;
};

/// Has the server save its state, where STATE is one, for the request to take.
std::unique_ptr<LiveState> save_from_server(const SnapshotCommand& command,
                                            const std::string& default_dir,
                                            SnapshotRequest& request) {
  if (!is_server(command.state)) return nullptr;
  LiveServerOptions options;
  options.timeout = std::chrono::milliseconds(static_cast<int>(command.server_timeout_s * 1000));
  options.leave_paused = command.leave_paused;
  auto live = std::make_unique<LiveState>(
      command.state, command.save_dir.empty() ? default_dir : command.save_dir, options);
  request.state = live->path();
  request.subject = live->subject();
  return live;
}

std::string finish_server(const std::unique_ptr<LiveState>& live) {
  if (!live) return {};
  live->finish();
  return std::string(live->runner());
}

void refuse_two_pauses(const SnapshotCommand& command) {
  if (command.pause.empty() || !is_server(command.state)) return;
  usage_error("--pause: a server that is held still does not answer; it pauses by itself");
}

/// Read before anything is written, so that a key that is none costs no snapshot.
std::optional<SigningKey> read_key(const SnapshotCommand& command) {
  if (command.sign_key.empty()) return std::nullopt;
  return read_signing_key(command.sign_key);
}

std::optional<std::string> sign(const std::optional<SigningKey>& key, std::string_view manifest) {
  if (!key) return std::nullopt;
  return key->sign(as_bytes(manifest));
}

void refuse_url(const std::string& path) {
  if (!scheme_of(path)) return;
  throw Error(ExitCode::usage, "usage", display_url_text(path),
              "expected a path to write the snapshot to, found a URL",
              "'mad-snapshot -o - STATE | mad-push - URL' puts it into a store");
}

}  // namespace

SnapshotResult write_snapshot(const SnapshotCommand& command) {
  refuse_two_pauses(command);
  const SnapshotOutput output = choose_output(command.output);
  refuse_url(output.path);
  PublishOptions options;
  options.durability = command.durability == "none" ? Durability::none : Durability::full;
  options.mode = parse_mode(command.mode);
  options.lock_timeout_ms = static_cast<int>(command.lock_timeout_s * 1000);
  options.naming = output.naming;
  SnapshotRequest request = request_of(command);
  const std::optional<SigningKey> key = read_key(command);

  const std::string path =
      output.naming == Naming::exact ? spare_the_unread_snapshot(output.path) : output.path;
  SnapshotPublisher publisher(path, options);
  const auto live = save_from_server(command, split_path(path).directory, request);
  const Hold hold(command.pause, request);
  TakenSnapshot taken = take_snapshot(request, publisher);
  publisher.publish(taken.manifest, sign(key, taken.manifest));
  return {publisher.path(), std::move(taken), path != output.path, key.has_value(),
          finish_server(live)};
}

SnapshotResult write_bundle(const SnapshotCommand& command, int fd) {
  refuse_two_pauses(command);
  refuse_terminal(fd, "expected a pipe or a file for the bundle, found a terminal");
  SnapshotRequest request = request_of(command);
  const std::string name = command.name.empty() ? choose_output({}).path : command.name;
  BundleWriter bundle(fd, bundle_name(name));
  widen_pipe(fd);
  try {
    const std::optional<SigningKey> key = read_key(command);
    const auto live = save_from_server(command, spool_directory(), request);
    const Hold hold(command.pause, request);
    TakenSnapshot taken = stream_snapshot(request, bundle);
    bundle.manifest(taken.manifest);
    if (const auto signature = sign(key, taken.manifest)) bundle.signature(*signature);
    Seal seal;
    seal.stage = Stage::created;
    seal.tool = "mad-snapshot";
    seal.size_bytes = taken.digests.size_bytes;
    bundle.seal(seal);
    return {bundle.name(), std::move(taken), false, key.has_value(), finish_server(live)};
  } catch (const DeadlinePassed&) {
    const PastDeadline last_words;
    bundle.seal(failed_seal("mad-snapshot", deadline_error()));
    throw;
  } catch (const Error& error) {
    try {
      bundle.seal(failed_seal("mad-snapshot", error));
    } catch (const Error&) {
      // The stream itself is what failed; without a seal it is incomplete for every reader.
      log_verbose("the bundle could not be sealed");
    }
    throw;
  }
}

}  // namespace mad
