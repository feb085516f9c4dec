#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "exchange/rate_limit.hpp"
#include "snapshot/snapshot.hpp"
#include "transport/transport.hpp"

namespace mad {

struct SendPlan {
  unsigned connections = 4;
  std::uint64_t part_bytes = std::uint64_t{8} << 20U;
};

struct SendTarget {
  Transport& transport;
  const Url& url;
  /// The one of the transport's TransportOptions.
  Stop& stop;
  /// None where it is null.
  RateLimit* limit = nullptr;
};

/// Sends one object as its bytes come: in parts over several connections, a thread each, or
/// by one request where it fits into a part.  Nothing is visible in the store before
/// finish(); destruction without it takes everything back.  Where no thread can be started, room()
/// sends one part after the other.
///
/// Memory: at most connections + 1 parts, in buffers that go round.  A part that fails for
/// good ends the others, and its error comes out of the next call.  Throws what the
/// transport throws, and Interrupted.  All calls come from one thread.
class PartSender {
 public:
  /// `size_bytes`: of the object, where it is known.  `chunk_bytes` is a multiple of 64.
  /// Nothing is sent yet.
  PartSender(const SendTarget& target, const PutOptions& options,
             std::optional<std::uint64_t> size_bytes, const SendPlan& plan,
             std::uint64_t chunk_bytes);
  ~PartSender();
  PartSender(const PartSender&) = delete;
  PartSender& operator=(const PartSender&) = delete;

  /// Room for at least one byte of what comes next, waited for.
  MutableBytes room();
  /// The first `n` bytes of room() are there; they are digested while they are hot.
  void filled(std::size_t n);
  std::uint64_t sent_bytes() const;
  /// Requests at a time, and bytes in each: what the store made of the plan.
  const SendPlan& plan() const;

  /// Of all the bytes, and of each `chunk_bytes` of them; none are filled after it.
  const FileDigests& digests();
  /// Waits until every part is there, and leaves the object invisible.
  void drain();
  /// Commits: what the store then has; nothing where the condition did not hold.  `metadata` is
  /// added to that of the options where the object is small or the store can add it now.
  std::optional<ObjectInfo> finish(const Metadata& metadata);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mad
