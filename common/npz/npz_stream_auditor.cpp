#include <algorithm>
#include <deque>
#include <exception>
#include <utility>

#include "base/error.hpp"
#include "hash/crc32.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/npz_layout.hpp"

namespace mad {
namespace {

/// What was seen of the members while they passed by, held in some 50 bytes each.
class SeenMembers {
 public:
  void push_back(const zip::LocalHeader& local) {
    Entry entry{};
    entry.compressed_bytes = local.compressed_bytes;
    entry.size_bytes = local.size_bytes;
    entry.name_offset = name_bytes_;
    entry.name_bytes = static_cast<std::uint16_t>(local.raw_name.size());
    entry.header_bytes = static_cast<std::uint32_t>(local.header_bytes);
    entry.flags = local.flags;
    entry.method = local.method;
    entry.promised_crc32 = local.crc32;
    entries_.push_back(entry);
    names_.insert(names_.end(), local.raw_name.begin(), local.raw_name.end());
    name_bytes_ += static_cast<std::uint32_t>(local.raw_name.size());
  }

  zip::LocalHeader local(std::size_t index) const {
    const Entry& entry = entries_[index];
    zip::LocalHeader local;
    const auto name = names_.begin() + entry.name_offset;
    local.raw_name.assign(name, name + entry.name_bytes);
    local.flags = entry.flags;
    local.crc32 = entry.promised_crc32;
    local.method = entry.method;
    local.compressed_bytes = entry.compressed_bytes;
    local.size_bytes = entry.size_bytes;
    local.header_bytes = entry.header_bytes;
    return local;
  }

  void add_npy(const NpyHeader& header) { npy_headers_.push_back(header); }
  void add_data(Bytes bytes) { entries_.back().crc32 = crc32(entries_.back().crc32, bytes); }

  std::size_t size() const { return entries_.size(); }
  std::uint64_t name_bytes() const { return name_bytes_; }
  /// Of the bytes themselves.
  std::uint32_t data_crc32(std::size_t index) const { return entries_[index].crc32; }
  const NpyHeaders& npy_headers() const { return npy_headers_; }

 private:
  struct Entry {
    std::uint64_t compressed_bytes;
    std::uint64_t size_bytes;
    std::uint32_t name_offset;
    std::uint32_t header_bytes;
    std::uint32_t promised_crc32;
    std::uint32_t crc32;
    std::uint16_t name_bytes;
    std::uint16_t flags;
    std::uint16_t method;
  };

  std::deque<Entry> entries_;
  std::deque<char> names_;
  std::uint32_t name_bytes_ = 0;
  NpyHeaders npy_headers_;
};

class SeenRecords final : public MemberRecords {
 public:
  SeenRecords(const SeenMembers& seen, std::size_t first_failed, std::exception_ptr failure)
      // NOLINTNEXTLINE(bugprone-throw-keyword-missing): kept, not thrown.
      : seen_(seen), first_failed_(first_failed), failure_(std::move(failure)) {}

  zip::LocalHeader local(std::size_t index, const zip::CentralEntry& entry,
                         const std::string& subject) override {
    if (index < seen_.size()) return seen_.local(index);
    throw Error(ExitCode::refused, "archive-invalid", subject,
                "expected its local header at offset " + std::to_string(entry.local_offset) +
                    ", found only " + std::to_string(seen_.size()) + " members");
  }

  NpyHeader npy(std::size_t index, const NpzMember&, const std::string&) override {
    if (index == first_failed_) std::rethrow_exception(failure_);
    return seen_.npy_headers()[index];
  }

  std::string between(std::uint64_t, std::size_t) override { return {}; }

 private:
  const SeenMembers& seen_;
  std::size_t first_failed_;
  std::exception_ptr failure_;
};

}  // namespace

struct NpzStreamAuditor::State {
  enum class Phase {
    signature,      ///< the next record's first four bytes
    local_start,    ///< the fixed part of a local header
    local_rest,     ///< its name and extra field too
    npy_preamble,   ///< enough of the array to know how long its header is
    npy_header,     ///< the array's header
    data,           ///< the rest of the array
    tail,           ///< the directory and what follows
    lost,           ///< a defect after which no next record can be found
    not_followable  ///< sizes are not known in advance
  };

  State(const NpzLimits& npz_limits, std::string name)
      : limits(npz_limits), subject(std::move(name)) {}

  NpzLimits limits;
  std::string subject;
  Phase phase = Phase::signature;
  std::uint64_t position = 0;
  /// Bytes gathered of the current record, until there are `wanted`.
  std::vector<std::byte> gathered;
  std::size_t wanted = 4;
  /// Of the current member's data, still to come.
  std::uint64_t data_left = 0;
  SeenMembers seen;
  std::uint64_t tail_offset = 0;
  std::vector<std::byte> tail;
  /// What ended `lost`.
  std::exception_ptr defect;
  /// Of the member that is passing by.
  std::string last_name;
  /// The first array header that is none; the archive can still be followed.
  std::size_t first_failed = SIZE_MAX;
  std::exception_ptr failure;

  void feed(Bytes bytes) {
    while (!bytes.empty() && phase != Phase::lost && phase != Phase::not_followable) {
      if (phase == Phase::data) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(data_left, bytes.size()));
        seen.add_data(bytes.first(n));
        data_left -= n;
        bytes = bytes.subspan(n);
        if (data_left == 0) expect(Phase::signature, 4);
      } else if (phase == Phase::tail) {
        hold(tail.size() + bytes.size(), limits.max_directory_bytes + zip::k_max_end_bytes,
             "bytes of the directory");
        tail.insert(tail.end(), bytes.begin(), bytes.end());
        bytes = {};
      } else {
        const std::size_t n = std::min(wanted - gathered.size(), bytes.size());
        gathered.insert(gathered.end(), bytes.begin(),
                        bytes.begin() + static_cast<std::ptrdiff_t>(n));
        bytes = bytes.subspan(n);
        while (is_gathering() && gathered.size() == wanted) advance();
      }
    }
  }

  bool is_gathering() const {
    return phase != Phase::data && phase != Phase::tail && phase != Phase::not_followable;
  }

  /// Goes on to gather bytes for the next phase until there are `in_all`.
  void expect(Phase next, std::size_t in_all) {
    if (next == Phase::signature) gathered.clear();
    phase = next;
    wanted = in_all;
  }

  void advance() {
    const Bytes bytes = gathered;
    switch (phase) {
      case Phase::signature:
        return advance_signature(zip::get32(bytes, 0));
      case Phase::local_start:
        return expect(Phase::local_rest, zip::local_header_bytes(bytes));
      case Phase::local_rest:
        return advance_local();
      case Phase::npy_preamble: {
        const std::size_t needed = npy_header_bytes_needed(bytes);
        return expect(Phase::npy_header, static_cast<std::size_t>(std::min<std::uint64_t>(
                                             std::max(needed, bytes.size()), data_left)));
      }
      default:
        return advance_npy();
    }
  }

  void advance_signature(std::uint32_t signature) {
    if (signature == zip::k_local_signature) return expect(Phase::local_start, zip::k_local_bytes);
    if (signature != zip::k_central_signature && signature != zip::k_end64_signature &&
        signature != zip::k_end_signature) {
      throw Error(ExitCode::refused, "archive-invalid", subject,
                  "expected a local header or the directory at offset " +
                      std::to_string(record_offset) + ", found something else");
    }
    tail_offset = record_offset;
    // Reserved once: a buffer that grows is in memory twice while it moves.
    tail.reserve(static_cast<std::size_t>(limits.max_directory_bytes) + zip::k_max_end_bytes);
    tail.assign(gathered.begin(), gathered.end());
    phase = Phase::tail;
  }

  void advance_local() {
    const std::string about =
        subject + ": member " + std::to_string(seen.size() + 1) + " of the archive";
    const zip::LocalHeader local = zip::parse_local(gathered, about);
    if ((local.flags & zip::k_flag_descriptor) != 0 || local.method == 8) {
      phase = Phase::not_followable;
      return;
    }
    hold(seen.size() + 1, limits.max_members, "members");
    hold(seen.name_bytes() + local.raw_name.size(), limits.max_directory_bytes,
         "bytes of the directory");
    data_left = local.compressed_bytes;
    record_offset += gathered.size() + data_left;
    seen.push_back(local);
    last_name = zip::decode_name(local.raw_name, local.flags);
    gathered.clear();
    expect(Phase::npy_preamble,
           static_cast<std::size_t>(std::min<std::uint64_t>(k_npy_preamble_bytes, data_left)));
  }

  void advance_npy() {
    const Bytes bytes = gathered;
    NpyHeader header;
    try {
      header = parse_npy_header(bytes, subject + ": " + printable(last_name));
    } catch (const Error&) {
      if (!failure) {
        first_failed = seen.size() - 1;
        failure = std::current_exception();
      }
    }
    seen.add_npy(header);
    check_header_limits(seen.npy_headers(), limits, subject);
    seen.add_data(bytes);
    data_left -= bytes.size();
    if (data_left == 0) {
      expect(Phase::signature, 4);
    } else {
      phase = Phase::data;
    }
  }

  void hold(std::uint64_t found, std::uint64_t most, const char* what) const {
    if (found <= most) return;
    throw Error(ExitCode::refused, "too-large", subject,
                std::string(what) + ": expected at most " + std::to_string(most) + ", found more");
  }

  NpzMembers finish() {
    check_limits({}, position, limits, subject);
    if (defect) std::rethrow_exception(defect);
    if (phase != Phase::tail) {
      throw Error(ExitCode::refused, "archive-invalid", subject,
                  "expected a ZIP directory at the archive's end, found that it ends after " +
                      std::to_string(position) + " bytes without one",
                  "the archive is cut short, or no npz");
    }
    // Gone with the refusal, if it comes to one: an audit of the file may follow.
    const SeenMembers passed = std::move(seen);
    const std::vector<std::byte> held = std::move(tail);
    const Bytes all = held;
    const zip::EndRecord end =
        zip::parse_end(all.last(std::min(all.size(), zip::k_max_end_bytes)), position, subject);
    check_limits(end, position, limits, subject);
    if (end.directory_offset != tail_offset) {
      throw Error(ExitCode::refused, "archive-invalid", subject,
                  "end record: expected the directory at offset " + std::to_string(tail_offset) +
                      ", found " + std::to_string(end.directory_offset));
    }
    SeenRecords records(passed, first_failed, failure);
    auto members = audit_members(all.first(static_cast<std::size_t>(end.directory_bytes)), end,
                                 limits, records, subject);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const NpzMember member = members[i];
      check_crc(member.crc32, passed.data_crc32(i), member_subject(subject, member));
    }
    return members;
  }

  /// Where the record begins whose signature comes next.
  std::uint64_t record_offset = 0;
};

NpzStreamAuditor::NpzStreamAuditor(const NpzLimits& limits, std::string subject)
    : state_(std::make_unique<State>(limits, std::move(subject))) {}

NpzStreamAuditor::~NpzStreamAuditor() = default;

void NpzStreamAuditor::feed(Bytes bytes) {
  state_->position += bytes.size();
  try {
    state_->feed(bytes);
  } catch (const Error&) {
    state_->defect = std::current_exception();
    state_->phase = State::Phase::lost;
  }
}

bool NpzStreamAuditor::followable() const {
  return state_->phase != State::Phase::not_followable;
}

NpzMembers NpzStreamAuditor::finish() {
  return state_->finish();
}

}  // namespace mad
