#include "npz/npz_writer.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "hash/crc32.hpp"
#include "io/spool.hpp"
#include "npz/crc_ahead.hpp"
#include "npz/inflate.hpp"
#include "npz/npz_layout.hpp"
#include "npz/npz_writer_zip64.hpp"

namespace mad {
namespace {

constexpr std::size_t k_write_bytes = std::size_t{256} << 10U;

zip::NewEntry new_entry(const StateArray& array, std::uint64_t local_offset) {
  zip::NewEntry entry;
  entry.name = array.key + ".npy";
  entry.size_bytes = array.size_bytes;
  entry.compressed_bytes = array.size_bytes;
  entry.local_offset = local_offset;
  return entry;
}

/// Calls `central(entry)` for each array, its entry as it will be but for the CRC, and returns
/// where the directory will lie.
template <class Central>
zip::EndRecord lay_out(const StateTree& tree, const zip::Zip64Thresholds& from, Central central) {
  zip::EndRecord end;
  for (const StateArray& array : tree.arrays()) {
    const zip::NewEntry entry = new_entry(array, end.directory_offset);
    const std::string record = zip::format_central(entry, from);
    end.directory_offset +=
        zip::format_local(entry, array.header.header_bytes, from).size() + array.size_bytes;
    end.directory_bytes += record.size();
    ++end.entries;
    central(record);
  }
  return end;
}

/// What is outside the directory of an archive that is still to be written.
class ComingRecords final : public MemberRecords {
 public:
  explicit ComingRecords(const StateTree& tree) : tree_(tree) {}

  zip::LocalHeader local(std::size_t index, const zip::CentralEntry& entry,
                         const std::string& subject) override {
    const StateArray& array = tree_.arrays()[index];
    const std::string header =
        zip::format_local(new_entry(array, entry.local_offset), array.header.header_bytes, {});
    return zip::parse_local(as_bytes(header), subject);
  }
  NpyHeader npy(std::size_t index, const NpzMember&, const std::string&) override {
    return tree_.arrays()[index].header;
  }
  std::string between(std::uint64_t, std::size_t) override { return {}; }

 private:
  const StateTree& tree_;
};

class Output {
 public:
  Output(BufferedSink& sink, const std::function<void(std::uint64_t)>& wrote)
      : sink_(sink), wrote_(wrote) {}

  std::uint64_t position() const { return position_; }

  void add(Bytes bytes) {
    sink_.write(bytes);
    account(bytes.size());
  }

  /// Free room, at least one byte, to be filled and then accounted by advance().
  MutableBytes space() { return sink_.room(); }
  void advance(std::size_t n) {
    sink_.filled(n);
    account(n);
  }

 private:
  void account(std::size_t n) {
    position_ += n;
    if (wrote_) wrote_(n);
  }

  BufferedSink& sink_;
  const std::function<void(std::uint64_t)>& wrote_;
  std::uint64_t position_ = 0;
};

/// Reads the whole array, `take()` giving room and `done(bytes)` taking what was read
/// there.  Returns false where `done` said so, which ends it.
template <class Take, class Done>
bool read_array(const Fd& fd, const StateArray& array, Take take, Done done) {
  for (std::uint64_t offset = 0; offset < array.size_bytes;) {
    const MutableBytes room = take();
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), array.size_bytes - offset));
    const std::size_t got = pread_full(fd.get(), room.first(want), offset, array.key);
    if (got < want) refuse_shrunk(array, offset + got);
    offset += got;
    if (!done(room.first(got))) return false;
  }
  return true;
}

void compare_readings(const StateArray& array, std::uint32_t first, std::uint32_t second) {
  if (first == second) return;
  throw Error(ExitCode::refused, "state-changed", printable(array.key) + ".npy",
              "changed while it was read: two readings of its bytes differ",
              "hold the program still meanwhile: mad-snapshot --pause PID");
}

class Writer {
 public:
  Writer(const StateTree& tree, BufferedSink& sink, const NpzWatch& watch,
         const zip::Zip64Thresholds& from)
      : tree_(tree), watch_(watch), out_(sink, watch.wrote), from_(from) {}

  void write(NpzCompression compression) {
    std::size_t next = 0;
    if (compression == NpzCompression::deflate) next = write_deflated();
    if (next < tree_.arrays().size()) write_stored(next);
    const zip::EndRecord end{out_.position(), directory_.size(), entries_};
    out_.add(as_bytes(directory_));
    out_.add(as_bytes(zip::format_end(end, from_)));
  }

  std::vector<WrittenArray> take_written() { return std::move(written_); }

 private:
  void write_stored(std::size_t first) {
    CrcAhead crcs(tree_, first, watch_.read_ahead);
    for (std::size_t i = first; i < tree_.arrays().size(); ++i) {
      const StateArray& array = tree_.arrays()[i];
      zip::NewEntry entry = new_entry(array, out_.position());
      entry.crc32 = crcs.take(i);
      begin_member(entry, array.header.header_bytes, NpzCompression::none);
      std::uint32_t crc = 0;
      read_array(
          tree_.open(array), array, [this] { return out_.space(); },
          [&](Bytes bytes) {
            crc = crc32(crc, bytes);
            out_.advance(bytes.size());
            crcs.tell();
            return true;
          });
      compare_readings(array, entry.crc32, crc);
      end_member(entry);
    }
  }

  /// Returns the first array that is left to be stored.
  std::size_t write_deflated() {
    const Fd spool = open_unnamed_file("");
    Deflater deflater;
    std::vector<std::byte> raw(k_write_bytes);
    std::uint64_t settled_bytes = 0;
    for (std::size_t i = 0; i < tree_.arrays().size(); ++i) {
      const StateArray& array = tree_.arrays()[i];
      zip::NewEntry entry = new_entry(array, out_.position());
      entry.method = 8;
      deflater.reset();
      entry.compressed_bytes = 0;
      std::uint64_t read_bytes = 0;
      const Fd file = tree_.open(array);
      const bool packed = read_array(
          file, array, [&raw] { return MutableBytes(raw); },
          [&](Bytes bytes) {
            entry.crc32 = crc32(entry.crc32, bytes);
            read_bytes += bytes.size();
            pack(deflater, bytes,
                 read_bytes == array.size_bytes ? Deflater::Input::last : Deflater::Input::more,
                 spool, entry.compressed_bytes);
            return !watch_.may_deflate ||
                   watch_.may_deflate(settled_bytes, settled_bytes + read_bytes);
          });
      // Nothing of it has gone out yet.
      if (!packed) return i;
      std::uint32_t crc = 0;
      read_array(
          file, array, [&raw] { return MutableBytes(raw); },
          [&crc](Bytes bytes) {
            crc = crc32(crc, bytes);
            return true;
          });
      compare_readings(array, entry.crc32, crc);
      settled_bytes += array.size_bytes;
      begin_member(entry, 0, NpzCompression::deflate);
      for (std::uint64_t offset = 0; offset < entry.compressed_bytes;) {
        const MutableBytes room = out_.space();
        const auto want = static_cast<std::size_t>(
            std::min<std::uint64_t>(room.size(), entry.compressed_bytes - offset));
        const std::size_t got = pread_full(spool.get(), room.first(want), offset, "spool");
        if (got < want) throw Error(ExitCode::io, "io-error", "spool", "it was cut short");
        offset += got;
        out_.advance(got);
      }
      end_member(entry);
    }
    return tree_.arrays().size();
  }

  void pack(Deflater& deflater, Bytes bytes, Deflater::Input input, const Fd& spool,
            std::uint64_t& packed_bytes) {
    if (packed_.empty()) packed_.resize(k_write_bytes);
    for (;;) {
      const Deflater::Step step = deflater.step(bytes, input, packed_);
      bytes = bytes.subspan(step.consumed);
      pwrite_full(spool.get(), Bytes(packed_).first(step.produced), packed_bytes, "spool");
      packed_bytes += step.produced;
      if (step.ended ||
          (input == Deflater::Input::more && bytes.empty() && step.produced < packed_.size())) {
        return;
      }
    }
  }

  void begin_member(const zip::NewEntry& entry, std::uint64_t header_bytes,
                    NpzCompression compression) {
    out_.add(as_bytes(zip::format_local(entry, header_bytes, from_)));
    written_.push_back({compression, out_.position(), entry.compressed_bytes, entry.crc32});
  }

  void end_member(const zip::NewEntry& entry) {
    directory_ += zip::format_central(entry, from_);
    ++entries_;
  }

  const StateTree& tree_;
  const NpzWatch& watch_;
  Output out_;
  zip::Zip64Thresholds from_;
  std::vector<std::byte> packed_;
  std::string directory_;
  std::vector<WrittenArray> written_;
  std::uint64_t entries_ = 0;
};

}  // namespace

std::uint64_t npz_size_bytes(const StateTree& tree) {
  return npz_size_bytes(tree, zip::Zip64Thresholds{});
}

std::uint64_t npz_size_bytes(const StateTree& tree, const zip::Zip64Thresholds& from) {
  const zip::EndRecord end = lay_out(tree, from, [](const std::string&) {});
  return end.directory_offset + end.directory_bytes + zip::format_end(end, from).size();
}

void audit_tree(const StateTree& tree, const NpzLimits& limits, const std::string& subject) {
  std::string directory;
  const zip::EndRecord end =
      lay_out(tree, {}, [&](const std::string& record) { directory += record; });
  check_limits(end, npz_size_bytes(tree), limits, subject);
  ComingRecords records(tree);
  audit_members(as_bytes(directory), end, limits, records, subject);
}

std::vector<WrittenArray> write_npz(const StateTree& tree, NpzCompression compression,
                                    BufferedSink& sink, const NpzWatch& watch) {
  return write_npz(tree, compression, sink, watch, zip::Zip64Thresholds{});
}

std::vector<WrittenArray> write_npz(const StateTree& tree, NpzCompression compression,
                                    BufferedSink& sink, const NpzWatch& watch,
                                    const zip::Zip64Thresholds& from) {
  Writer writer(tree, sink, watch, from);
  writer.write(compression);
  return writer.take_written();
}

}  // namespace mad
