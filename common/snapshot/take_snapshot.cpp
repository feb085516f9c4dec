#include "snapshot/take_snapshot.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "base/text.hpp"
#include "io/file.hpp"
#include "io/spool.hpp"
#include "manifest/manifest.hpp"
#include "npz/npz_auditor.hpp"
#include "snapshot/hashing_sink.hpp"
#include "snapshot/members.hpp"
#include "snapshot/pace.hpp"

namespace mad {
namespace {

/// For a stream of unknown length, so that the list of digests stays short.
constexpr std::uint64_t k_unknown_chunk_bytes = std::uint64_t{16} << 20U;
constexpr const char* k_standard_input = "standard input";
constexpr const char* k_replaced_by_stream = "the snapshot that this stream may replace";

/// Passes `size_bytes` of an npz, where they are known, through `produce` to `sink`.
FileDigests hash_into(Sink& sink, Producer producer, const std::string& label,
                      std::optional<std::uint64_t> size_bytes,
                      const std::function<void(BufferedSink&, Progress&)>& produce) {
  Progress progress(label, size_bytes);
  HashingSink hashing(sink, size_bytes ? chunk_bytes_for(*size_bytes) : k_unknown_chunk_bytes,
                      producer);
  produce(hashing, progress);
  hashing.finish();
  return hashing.digests();
}

TakenSnapshot finish_snapshot(const SnapshotRequest& request, FileDigests digests,
                              std::optional<std::int64_t> step, MemberTable members) {
  Manifest manifest;
  manifest.sha256 = digests.sha256;
  manifest.size_bytes = digests.size_bytes;
  manifest.extra = request.extra;
  manifest.created_at = utc_now_rfc3339();
  manifest.step = step;
  manifest.chunks = digests.chunks;
  const std::uint64_t arrays = members.size();
  if (request.member_table) manifest.members = std::move(members);
  TakenSnapshot taken{format_manifest(manifest), std::move(digests), step, arrays};
  if (taken.manifest.size() > k_max_manifest_bytes) {
    throw Error(ExitCode::refused, "too-large", "the manifest",
                "expected at most " + std::to_string(k_max_manifest_bytes) + " bytes, found " +
                    std::to_string(taken.manifest.size()),
                "shorten --extra or --extra-file");
  }
  return taken;
}

struct CopiedTree {
  FileDigests digests;
  std::vector<WrittenArray> arrays;
};

/// What write_npz does, measured against the deadline.  What is stored is read twice, and
/// either reading is work.
class TreePace {
 public:
  TreePace(const SnapshotRequest& request, std::uint64_t npz_bytes)
      : npz_bytes_(npz_bytes),
        deflating_(request.compression == NpzCompression::deflate),
        pace_(request.state, npz_bytes, deflating_ ? npz_bytes : 2 * npz_bytes) {}

  void wrote(std::uint64_t bytes) {
    if (!deflating_) pace_.add(bytes);
  }
  void read_ahead(std::uint64_t bytes) { pace_.add(bytes); }

  bool may_deflate(std::uint64_t settled_bytes, std::uint64_t read_bytes) {
    pace_.add(read_bytes - read_bytes_);
    read_bytes_ = read_bytes;
    if (!pace_.forecast() || pace_.forecast()->fits_twice()) return true;
    log_warning("--compress: too slow for the deadline; what is left is stored uncompressed");
    deflating_ = false;
    pace_.restart(2 * (npz_bytes_ - settled_bytes));
    return false;
  }

 private:
  std::uint64_t npz_bytes_;
  std::uint64_t read_bytes_ = 0;
  bool deflating_;
  Pace pace_;
};

StateTree open_tree(const SnapshotRequest& request) {
  StateTree tree(request.state);
  for (const std::string& key : tree.put_first(request.first)) {
    log_warning("--first: " + printable(request.state) + " has no array " + printable(key));
  }
  audit_tree(tree, NpzLimits{}, printable(request.state));
  return tree;
}

CopiedTree copy_tree(const SnapshotRequest& request, const StateTree& tree, Sink& sink,
                     Producer producer) {
  const std::uint64_t size_bytes = npz_size_bytes(tree);
  CopiedTree copied;
  TreePace pace(request, size_bytes);
  const auto write = [&](BufferedSink& hashing, Progress& progress) {
    NpzWatch watch;
    watch.wrote = [&](std::uint64_t bytes) {
      progress.add(bytes);
      pace.wrote(bytes);
    };
    watch.read_ahead = [&](std::uint64_t bytes) { pace.read_ahead(bytes); };
    watch.may_deflate = [&](std::uint64_t settled_bytes, std::uint64_t read_bytes) {
      return pace.may_deflate(settled_bytes, read_bytes);
    };
    copied.arrays = write_npz(tree, request.compression, hashing, watch);
  };
  copied.digests = hash_into(sink, producer, request.state, size_bytes, write);
  tree.check_unchanged();
  request.state_was_read();
  return copied;
}

std::uint64_t count_not_compressed(const SnapshotRequest& request,
                                   const std::vector<WrittenArray>& arrays) {
  if (request.compression == NpzCompression::none) return 0;
  return static_cast<std::uint64_t>(std::count_if(
      arrays.begin(), arrays.end(),
      [](const WrittenArray& array) { return array.compression == NpzCompression::none; }));
}

/// Of a stream, which cannot be read again.
MemberTable member_table_of(const StateTree& tree, const std::vector<WrittenArray>& arrays) {
  MemberTable table;
  table.reserve(arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const NpyHeader& header = tree.arrays()[i].header;
    TableMember& row = table.emplace_back();
    row.name = tree.arrays()[i].key;
    row.dtype = format_dtype(header.descr);
    row.shape = header.shape;
    row.fortran_order = header.fortran_order;
    row.offset = arrays[i].data_offset;
    row.size_bytes = header.data_bytes;
    row.header_bytes = header.header_bytes;
    row.crc32 = arrays[i].crc32;
    if (arrays[i].compression == NpzCompression::deflate) {
      row.packed_bytes = arrays[i].compressed_bytes;
    } else {
      row.offset += header.header_bytes;
    }
  }
  return table;
}

/// A state of nothing is more likely a mistake than worth the snapshot whose place it would take.
void refuse_nothing(std::size_t arrays, const std::string& subject,
                    const std::optional<std::string>& superseded) {
  if (arrays > 0 || !superseded) return;
  throw Error(ExitCode::refused, "state-invalid", printable(subject),
              "expected arrays NODE/FIELD.npy, found none; " + printable(*superseded) +
                  " is not replaced by nothing");
}

/// An npz that is taken as it is.
struct NpzInput {
  Fd owned;
  int fd = -1;
  std::string subject;
  std::optional<std::uint64_t> size_bytes;
  struct ::stat before {};
};

NpzInput open_npz_input(const SnapshotRequest& request) {
  NpzInput input;
  const std::string& state = request.state;
  if (!request.first.empty()) log_warning("--first: an npz is taken in the order that it has");
  if (state == "-") {
    input.fd = STDIN_FILENO;
    input.subject = k_standard_input;
  } else {
    input.owned = open_regular(state);
    input.fd = input.owned.get();
    input.subject = request.subject.empty() ? state : request.subject;
  }
  input.before = stat_fd(input.fd, input.subject);
  if (S_ISREG(input.before.st_mode)) {
    const off_t position = lseek(input.fd, 0, SEEK_CUR);
    const off_t rest = input.before.st_size - (position > 0 ? position : 0);
    input.size_bytes = static_cast<std::uint64_t>(rest > 0 ? rest : 0);
  }
  return input;
}

void refuse_changed(const NpzInput& input, std::uint64_t copied_bytes) {
  if (!S_ISREG(input.before.st_mode)) return;
  const struct ::stat after = stat_fd(input.fd, input.subject);
  const auto same_time = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  if (after.st_size == input.before.st_size && copied_bytes == input.size_bytes &&
      same_time(after.st_mtim, input.before.st_mtim)) {
    return;
  }
  throw Error(ExitCode::refused, "state-changed", printable(input.subject),
              "it was written to while it was read (" + std::to_string(input.before.st_size) +
                  " bytes before, " + std::to_string(after.st_size) + " after)",
              "take the snapshot when its writer has finished");
}

FileDigests copy_npz(const NpzInput& input, Sink& sink, Producer producer) {
  FileDigests digests =
      hash_into(sink, producer, input.subject, input.size_bytes,
                [&](BufferedSink& hashing, Progress& progress) {
                  const std::uint64_t size_bytes = input.size_bytes.value_or(0);
                  Pace pace(input.subject, size_bytes, size_bytes);
                  while (const std::size_t n = read_some(input.fd, hashing.room(), input.subject)) {
                    hashing.filled(n);
                    progress.add(n);
                    if (input.size_bytes) pace.add(n);
                  }
                });
  refuse_changed(input, digests.size_bytes);
  return digests;
}

/// Taken all the same: the bytes are as NumPy wrote them, and an npz is a snapshot, too.
void warn_of_hidden_keys(const NpzMembers& members, const std::string& subject) {
  std::string first;
  std::size_t count = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!is_hidden(members.key(i))) continue;
    if (count == 0) first = members.key(i);
    ++count;
  }
  if (count == 0) return;
  const std::string more = count > 1 ? " (and " + std::to_string(count - 1) + " more)" : "";
  log_warning(printable(subject) + ": " + printable(first) + more +
              ": a component begins with '.'; mad-resume --state-dir will refuse this snapshot");
}

NpzMembers check_npz(int archive, std::uint64_t size_bytes, const std::string& subject) {
  auto members = audit_npz(archive, size_bytes, NpzLimits{}, subject);
  check_npz_data(archive, members, subject);
  warn_of_hidden_keys(members, subject);
  return members;
}

std::optional<std::int64_t> step_of_tree(const StateTree& tree) {
  for (const StateArray& array : tree.arrays()) {
    if (array.key != k_step_key || array.header.data_bytes > 8) continue;
    const Fd file = tree.open(array);
    std::array<std::byte, 8> item{};
    const MutableBytes bytes = MutableBytes(item).first(array.header.data_bytes);
    if (pread_full(file.get(), bytes, array.header.header_bytes, array.key) < bytes.size()) break;
    return parse_step(array.header, bytes);
  }
  return std::nullopt;
}

/// A path that leads nowhere is StateTree's to refuse.
bool is_tree(const std::string& state) {
  return state != "-" && (is_directory(state) || access(state.c_str(), F_OK) != 0);
}

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

TakenSnapshot take_snapshot(const SnapshotRequest& request, SnapshotPublisher& publisher) {
  if (is_tree(request.state)) {
    const StateTree tree = open_tree(request);
    refuse_nothing(tree.arrays().size(), request.state, publisher.superseded());
    // What deflate leaves of it is not known, and may fit where all of it does not.
    if (request.compression == NpzCompression::none) publisher.reserve(npz_size_bytes(tree));
    CopiedTree copied = copy_tree(request, tree, publisher, Producer::helps);
    // Of the bytes that were written, not of the state, which may have gone on.
    const auto members =
        audit_npz(publisher.npz_fd(), copied.digests.size_bytes, NpzLimits{}, publisher.path());
    TakenSnapshot taken =
        finish_snapshot(request, std::move(copied.digests), step_of(publisher.npz_fd(), members),
                        member_table_of(members));
    taken.arrays_not_compressed = count_not_compressed(request, copied.arrays);
    return taken;
  }
  const NpzInput input = open_npz_input(request);
  publisher.reserve(input.size_bytes.value_or(0));
  FileDigests digests = copy_npz(input, publisher, Producer::helps);
  request.state_was_read();
  const auto members = check_npz(publisher.npz_fd(), digests.size_bytes, input.subject);
  refuse_nothing(members.size(), input.subject, publisher.superseded());
  return finish_snapshot(request, std::move(digests), step_of(publisher.npz_fd(), members),
                         member_table_of(members));
}

TakenSnapshot stream_snapshot(const SnapshotRequest& request, Sink& stream) {
  if (is_tree(request.state)) {
    const StateTree tree = open_tree(request);
    refuse_nothing(tree.arrays().size(), request.state, k_replaced_by_stream);
    const auto step = step_of_tree(tree);
    CopiedTree copied = copy_tree(request, tree, stream, Producer::only_fills);
    TakenSnapshot taken = finish_snapshot(request, std::move(copied.digests), step,
                                          member_table_of(tree, copied.arrays));
    taken.arrays_not_compressed = count_not_compressed(request, copied.arrays);
    return taken;
  }
  NpzInput input = open_npz_input(request);
  if (request.state == "-") {
    Fd spool = open_unnamed_file("");
    FdSink to_spool(spool.get(), "the spool of " + input.subject);
    copy_npz(input, to_spool, Producer::only_fills);
    if (lseek(spool.get(), 0, SEEK_SET) != 0) throw system_error("rewind", input.subject, errno);
    input.fd = spool.get();
    input.owned = std::move(spool);
    input.before = stat_fd(input.fd, input.subject);
    input.size_bytes = static_cast<std::uint64_t>(input.before.st_size);
  }
  const auto members = check_npz(input.fd, input.size_bytes.value_or(0), input.subject);
  refuse_nothing(members.size(), input.subject, k_replaced_by_stream);
  const auto step = step_of(input.fd, members);
  FileDigests digests = copy_npz(input, stream, Producer::only_fills);
  request.state_was_read();
  return finish_snapshot(request, std::move(digests), step, member_table_of(members));
}

std::string make_extra(const std::string& extra_file, const std::vector<std::string>& extra,
                       const std::optional<std::string>& session_id, const std::string& stage) {
  std::string object = "{}";
  if (!extra_file.empty()) {
    const Fd file(open(extra_file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw system_error("open", extra_file, errno);
    object = read_small_file(file.get(), k_max_manifest_bytes, extra_file);
  }
  for (const std::string& pair : extra) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ExitCode::usage, "usage", "--extra",
                  "expected KEY=VALUE, found '" + printable(pair) + "'");
    }
    object = set_extra(object, pair.substr(0, equals), pair.substr(equals + 1));
  }
  object = set_extra_string(object, "session_id", session_id);
  return set_extra_string(object, "stage_at_snapshot", stage);
}

SnapshotOutput choose_output(const std::string& given) {
  constexpr const char* k_default_name = "maddening_preempt_snapshot.npz";
  std::string path = given;
  if (path.empty()) {
    const char* whole = environment("MADDENING_SNAPSHOT_PATH");
    if (whole == nullptr) {
      const char* directory = environment("MADDENING_SNAPSHOT_DIR");
      path = directory != nullptr ? directory : "/tmp";
      if (path.back() != '/') path += '/';
      return {path + k_default_name, Naming::exact};
    }
    path = whole;
  }
  if (path.back() == '/' || is_directory(path)) {
    return {path + (path.back() == '/' ? "" : "/") + "snapshot.npz", Naming::sequence};
  }
  if (path.size() < 4 || path.compare(path.size() - 4, 4, ".npz") != 0) path += ".npz";
  return {path, Naming::exact};
}

}  // namespace mad
