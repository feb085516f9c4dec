#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace mad {

/// Whether STATE is a URL, which can only be that of a running server.
bool is_server(const std::string& state);

struct LiveServerOptions {
  /// For one answer; that to a save comes when all of the state is written.
  std::chrono::milliseconds timeout{60'000};
  /// The simulation stays paused once finish() was called.
  bool leave_paused = false;
};

/// The state of a simulation that a MADDENING server runs, in a file that the server wrote.
///
/// Construction pauses the simulation, has the server save it as `state.npz` in a directory of our
/// own (ScratchDirectory, mode 0700) in `save_dir`, and lets it go on.  A runner that was not
/// started (409) has nothing to pause: it is saved as it is.  The API does not tell whether a
/// runner was paused before; it is running afterwards, unless it is to be left paused.  Whatever
/// fails, a signal and the deadline included, what was or may have been paused is let go; that
/// this failed is a warning.  Destruction removes the file.
///
/// The server is on this machine, or there would be no file: the URL is `http://` of a loopback
/// address, and goes to no proxy.  $MADDENING_API_TOKEN, where it is set, is its bearer token.
/// The file is what an untrusted process wrote: nothing has looked into it yet.
///
/// Throws Error(usage) for another URL; Error(remote), `connect`, `timeout`, `transfer-cut` or
/// `http-status`, where the server does not do its part; Error(access_denied) on 401 and 403;
/// Error(not_found, `state-missing`) where it says that it saved, and there is no file, and
/// Error(refused, `not-regular`) where that is none.
class LiveState {
 public:
  LiveState(const std::string& url, const std::string& save_dir, const LiveServerOptions& options);
  ~LiveState();
  LiveState(const LiveState&) = delete;
  LiveState& operator=(const LiveState&) = delete;

  const std::string& path() const;
  /// The URL, for messages.
  const std::string& subject() const;
  /// The snapshot is there: from here on nothing is undone.
  void finish();
  /// What became of the simulation, for the report: `resumed`, `paused`, `not-started`, or
  /// `unknown` where it could not be let go.
  std::string_view runner() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
