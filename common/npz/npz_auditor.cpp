#include "npz/npz_auditor.hpp"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.hpp"
#include "base/processors.hpp"
#include "base/thread.hpp"
#include "hash/crc32.hpp"
#include "npz/inflate.hpp"
#include "npz/npz_layout.hpp"
#include "npz/npz_reader.hpp"

namespace mad {
namespace {

[[noreturn]] void cut_short(const std::string& subject, std::uint64_t expected,
                            std::uint64_t found) {
  throw Error(ExitCode::refused, "archive-invalid", subject,
              "expected " + std::to_string(expected) + " bytes, found " + std::to_string(found));
}

/// Reads local headers through a window, so that small members cost no call each.
class FileRecords final : public MemberRecords {
 public:
  FileRecords(int archive, std::uint64_t size_bytes) : archive_(archive), size_bytes_(size_bytes) {}

  zip::LocalHeader local(std::size_t, const zip::CentralEntry& entry,
                         const std::string& subject) override {
    const Bytes start = view(entry.local_offset, zip::k_local_bytes, subject);
    if (zip::get32(start, 0) != zip::k_local_signature) return zip::parse_local({}, subject);
    const std::size_t length = zip::local_header_bytes(start);
    return zip::parse_local(view(entry.local_offset, length, subject), subject);
  }

  NpyHeader npy(std::size_t, const NpzMember& member, const std::string& subject) override {
    if (member.method == NpzMethod::deflated) return deflated_npy(member, subject);
    const auto first = [&](std::size_t most) {
      return view(member.data_offset,
                  static_cast<std::size_t>(std::min<std::uint64_t>(most, member.size_bytes)),
                  subject);
    };
    const std::size_t needed = npy_header_bytes_needed(first(k_npy_preamble_bytes));
    return parse_npy_header(first(needed), subject);
  }

  std::string between(std::uint64_t offset, std::size_t length) override {
    return std::string(as_text(view(offset, length, "data descriptor")));
  }

 private:
  Bytes view(std::uint64_t offset, std::size_t length, const std::string& subject) {
    constexpr std::size_t k_window_bytes = 16384;
    if (offset > size_bytes_ || length > size_bytes_ - offset) {
      cut_short(subject, offset + length, size_bytes_);
    }
    if (offset < offset_ || offset - offset_ > filled_ || length > filled_ - (offset - offset_)) {
      if (window_.size() < std::max(length, k_window_bytes)) {
        window_.resize(std::max(length, k_window_bytes));
      }
      offset_ = offset;
      filled_ = pread_full(archive_, MutableBytes(window_).first(std::max(length, k_window_bytes)),
                           offset, subject);
      if (filled_ < length) cut_short(subject, offset + length, offset + filled_);
    }
    return Bytes(window_).subspan(static_cast<std::size_t>(offset - offset_), length);
  }

  NpyHeader deflated_npy(const NpzMember& member, const std::string& subject) {
    constexpr std::size_t k_input_bytes = 4096;
    Inflater inflater;
    std::vector<std::byte> start(k_npy_preamble_bytes);
    std::size_t filled = 0;
    std::uint64_t consumed = 0;
    bool widened = false;
    for (bool ended = false;;) {
      if (filled == start.size() || ended) {
        if (widened || ended) break;
        widened = true;
        start.resize(std::max(start.size(), npy_header_bytes_needed(start)));
        continue;
      }
      const std::uint64_t left = member.compressed_bytes - consumed;
      const Bytes in =
          view(member.data_offset + consumed,
               static_cast<std::size_t>(std::min<std::uint64_t>(left, k_input_bytes)), subject);
      const Inflater::Step step = inflater.step(in, MutableBytes(start).subspan(filled), subject);
      filled += step.produced;
      consumed += step.consumed;
      ended = step.ended || (step.produced == 0 && step.consumed == 0);
    }
    return parse_npy_header(Bytes(start).first(filled), subject);
  }

  int archive_;
  std::uint64_t size_bytes_;
  std::vector<std::byte> window_;
  std::uint64_t offset_ = 0;
  std::size_t filled_ = 0;
};

/// What a thread takes at a time: some whole members, or a stretch of a large stored one.
struct Piece {
  std::size_t member = 0;
  /// Whole ones; 0 for a stretch.
  std::size_t members = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  /// Of a stretch.
  std::uint32_t crc32 = 0;
};

std::vector<Piece> cut_into_pieces(const NpzMembers& members) {
  std::uint64_t total = 0;
  for (const NpzMember& member : members) total += member.compressed_bytes;
  // Large enough to keep the list short at any size.
  const std::uint64_t most = std::max<std::uint64_t>(std::uint64_t{8} << 20U, total / 4096);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const NpzMember member = members[i];
    const std::uint64_t size = member.compressed_bytes;
    if (member.method == NpzMethod::deflated || size <= most) {
      if (pieces.empty() || pieces.back().members == 0 || pieces.back().length + size > most / 8) {
        pieces.push_back({i, 0, 0, 0, 0});
      }
      ++pieces.back().members;
      pieces.back().length += size;
      continue;
    }
    for (std::uint64_t offset = 0; offset < size; offset += most) {
      pieces.push_back({i, 0, offset, std::min(most, size - offset), 0});
    }
  }
  return pieces;
}

/// Reads pieces until none is left; the earliest failure wins, whichever thread
/// met it.
class DataChecker {
 public:
  DataChecker(int archive, const NpzMembers& members, const std::string& subject)
      : archive_(archive),
        members_(members),
        subject_(subject),
        pieces_(cut_into_pieces(members)) {}

  void run() {
    std::uint64_t total = 0;
    for (const Piece& piece : pieces_) total += piece.length;
    // A thread costs about as much as reading this.
    constexpr std::uint64_t k_worth_a_thread = std::uint64_t{1} << 20U;
    if (pieces_.size() > 1 && total >= k_worth_a_thread && usable_processors() > 1) {
      std::thread second = try_thread([this] { work(); });
      work();
      if (second.joinable()) second.join();
    } else {
      work();
    }
    compare();
  }

 private:
  void work() noexcept {
    std::vector<std::byte> buffer;
    for (;;) {
      const std::size_t i = next_++;
      if (i >= pieces_.size() || i > first_failed_) return;
      try {
        if (buffer.empty()) buffer.resize(k_buffer_bytes);
        check(pieces_[i], buffer);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (i < first_failed_) {
          first_failed_ = i;
          failure_ = std::current_exception();
        }
      }
    }
  }

  void check(Piece& piece, MutableBytes buffer) const {
    if (piece.members == 0) {
      piece.crc32 = stored_crc(members_[piece.member], piece.offset, piece.length, buffer);
    }
    for (std::size_t i = piece.member; i < piece.member + piece.members; ++i) {
      const NpzMember member = members_[i];
      if (member.method == NpzMethod::deflated) {
        const auto source = open_member(archive_, member, subject_);
        while (source->read(buffer) > 0) {
        }
      } else {
        check_crc(member.crc32, stored_crc(member, 0, member.compressed_bytes, buffer),
                  member_subject(subject_, member));
      }
    }
  }

  std::uint32_t stored_crc(const NpzMember& member, std::uint64_t offset, std::uint64_t length,
                           MutableBytes buffer) const {
    std::uint32_t crc = 0;
    for (std::uint64_t done = 0; done < length;) {
      const auto want =
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), length - done));
      const std::size_t got =
          pread_full(archive_, buffer.first(want), member.data_offset + offset + done, subject_);
      if (got < want) {
        cut_short(member_subject(subject_, member), member.compressed_bytes, offset + done + got);
      }
      crc = mad::crc32(crc, buffer.first(got));
      done += got;
    }
    return crc;
  }

  /// Joins the stretches of each large member and holds them against the archive's CRC;
  /// stops where a piece failed, with what was met first.
  void compare() const {
    std::uint32_t crc = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (i == first_failed_) std::rethrow_exception(failure_);
      const Piece& piece = pieces_[i];
      if (piece.members > 0) continue;
      crc = piece.offset == 0 ? piece.crc32
                              : static_cast<std::uint32_t>(crc32_combine(
                                    crc, piece.crc32, static_cast<z_off_t>(piece.length)));
      if (i + 1 == pieces_.size() || pieces_[i + 1].member != piece.member) {
        const NpzMember member = members_[piece.member];
        check_crc(member.crc32, crc, member_subject(subject_, member));
      }
    }
  }

  static constexpr std::size_t k_buffer_bytes = std::size_t{256} << 10U;

  int archive_;
  const NpzMembers& members_;
  const std::string& subject_;
  std::vector<Piece> pieces_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::size_t> first_failed_ = SIZE_MAX;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

NpzMembers audit_npz(int archive, std::uint64_t size_bytes, const NpzLimits& limits,
                     const std::string& subject) {
  const auto read = [&](std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(length));
    const std::size_t found = pread_full(archive, bytes, offset, subject);
    if (found < length) cut_short(subject, offset + length, offset + found);
    return bytes;
  };
  check_limits({}, size_bytes, limits, subject);
  const std::uint64_t tail_bytes = std::min<std::uint64_t>(size_bytes, zip::k_max_end_bytes);
  const zip::EndRecord end =
      zip::parse_end(read(size_bytes - tail_bytes, tail_bytes), size_bytes, subject);
  check_limits(end, size_bytes, limits, subject);
  const auto directory = read(end.directory_offset, end.directory_bytes);
  FileRecords records(archive, size_bytes);
  return audit_members(directory, end, limits, records, subject);
}

void check_npz_data(int archive, const NpzMembers& members, const std::string& subject) {
  DataChecker(archive, members, subject).run();
}

}  // namespace mad
