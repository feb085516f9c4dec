#include "verify/damage_report.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_findings = 256;
constexpr std::size_t k_max_names = 100;

std::string range_text(Extent range) {
  return "bytes " + std::to_string(range.first) + " to " + std::to_string(range.end);
}

bool overlap(Extent a, Extent b) {
  return a.first < b.end && b.first < a.end;
}

class DamageReport {
 public:
  DamageReport(const Refusal& refusal, const ArchiveLayout& layout, const Evidence& evidence,
               const std::vector<Witness>& witnesses, const Neighbours& neighbours, Damage& damage)
      : refusal_(refusal),
        layout_(layout),
        evidence_(evidence),
        witnesses_(witnesses),
        neighbours_(neighbours),
        damage_(damage),
        taken_(refusal.manifest != nullptr ? &witnesses.front() : nullptr) {}

  void write() {
    const bool foreign = report_another_manifest();
    if (!foreign) report_length();
    if (!foreign) report_splices();
    report_wrong_chunks(foreign);
    report_zeros();
    report_records();
    report_manifest();
    report_interrupted_writer();
    report_nothing_found();
  }

 private:
  void add(DamageFinding finding) {
    if (damage_.findings.size() == k_max_findings) {
      ++damage_.more_findings;
      return;
    }
    damage_.findings.push_back(std::move(finding));
  }

  /// With the arrays that `range` falls into.
  void add_at(const char* kind, Extent range, const std::string& text) {
    if (damage_.findings.size() == k_max_findings) {
      ++damage_.more_findings;
      return;
    }
    DamageFinding finding{kind, range, {}, 0, text};
    for (const ArrayRecord& record : layout_.arrays) {
      if (!overlap({record.first_byte, record.end_byte()}, range)) continue;
      if (finding.arrays.size() == k_max_names) {
        ++finding.more_arrays;
      } else {
        finding.arrays.push_back(record.name);
      }
    }
    add(std::move(finding));
  }

  bool is_own(const Witness& witness) const {
    return witness.right_start &&
           witness.size_bytes.value_or(refusal_.size_bytes) == refusal_.size_bytes;
  }

  bool archive_is_whole() const {
    return refusal_.structure_ok && layout_.source == LayoutSource::directory;
  }

  /// A right npz beside a wrong manifest.
  bool report_another_manifest() {
    for (const Witness& witness : witnesses_) {
      if (&witness == taken_ || !is_own(witness)) continue;
      add({"other-manifest",
           {},
           {},
           0,
           "the npz is whole and right: it is the one that " + printable(witness.path) +
               " promises"});
      return true;
    }
    const bool differs = taken_ != nullptr && !is_own(*taken_);
    if (!archive_is_whole() || !differs || contradicts()) return false;
    std::string text =
        "the npz is whole by its own CRC-32s, and is not the one that the manifest promises";
    if (refusal_.step && taken_->step && *refusal_.step != *taken_->step) {
      text += ": it is of step " + std::to_string(*refusal_.step) + ", the manifest of step " +
              std::to_string(*taken_->step);
    }
    if (refusal_.manifest->members) text += "; " + common_arrays_text();
    add({"other-snapshot", {}, {}, 0, text});
    return true;
  }

  bool contradicts() const {
    return refusal_.error && refusal_.error->reason == "digests-contradict";
  }

  std::string common_arrays_text() const {
    const MemberTable& table = *refusal_.manifest->members;
    std::size_t same = 0;
    std::size_t named = 0;
    // Both are sorted by place, and of the same state they are in the same order.
    for (std::size_t i = 0; i < std::min(table.size(), layout_.arrays.size()); ++i) {
      if (table[i].name != layout_.arrays[i].name) continue;
      ++named;
      if (table[i].crc32 == layout_.arrays[i].crc32) ++same;
    }
    return std::to_string(named) + " of " + std::to_string(layout_.arrays.size()) +
           " arrays are in the manifest too, " + std::to_string(same) + " with the same content";
  }

  void report_length() {
    const std::uint64_t found = refusal_.size_bytes;
    const auto expected = taken_ != nullptr ? taken_->size_bytes : std::nullopt;
    if (expected && found < *expected) {
      add_at("cut-off", {found, *expected},
             "the file is cut off: " + count_of_bytes(*expected - found) + " of " +
                 std::to_string(*expected) + " are missing");
    } else if (expected && found > *expected) {
      std::string text = count_of_bytes(found - *expected) + " follow the " +
                         std::to_string(*expected) + " that were promised";
      if (taken_->right_start) text += "; those are right";
      add({"appended", {*expected, found}, {}, 0, text});
    } else if (!expected && layout_.archive_bytes && *layout_.archive_bytes < found) {
      add({"appended",
           {*layout_.archive_bytes, found},
           {},
           0,
           count_of_bytes(found - *layout_.archive_bytes) + " follow the archive's end"});
    } else if (!expected && !layout_.arrays.empty() && layout_.arrays.back().end_byte() > found) {
      add_at("cut-off", {found, layout_.arrays.back().end_byte()},
             "the file is cut off: it ends within an array");
    }
    const bool from_headers = layout_.source == LayoutSource::headers;
    if (from_headers && layout_.arrays.front().first_byte > 0) {
      add({"prepended",
           {0, layout_.arrays.front().first_byte},
           {},
           0,
           count_of_bytes(layout_.arrays.front().first_byte) +
               " that are no array stand before the first one"});
    }
  }

  std::vector<Extent> wrong_ranges() const {
    std::vector<Extent> ranges;
    if (taken_ == nullptr || !taken_->chunks || contradicts()) return ranges;
    const std::uint64_t length = taken_->chunks->chunk_bytes;
    const std::uint64_t end =
        std::min(refusal_.size_bytes, taken_->size_bytes.value_or(refusal_.size_bytes));
    for (std::size_t i = 0; i < taken_->right_chunks.size(); ++i) {
      const Extent chunk = {i * length, std::min((i + 1) * length, end)};
      // Of one that is cut off nothing is known.
      const bool cut = chunk.end == refusal_.size_bytes && chunk.end < (i + 1) * length &&
                       refusal_.size_bytes < taken_->size_bytes.value_or(0);
      if (taken_->right_chunks[i] || chunk.first >= end || cut) continue;
      if (!ranges.empty() && ranges.back().end == chunk.first) {
        ranges.back().end = chunk.end;
      } else {
        ranges.push_back(chunk);
      }
    }
    return ranges;
  }

  /// Parts of the npz that another manifest promises, where the one taken does not.
  void report_splices() {
    bool found = false;
    if (taken_ != nullptr && taken_->knows_any()) {
      for (const Witness& other : witnesses_) {
        if (&other != taken_) found = report_splice(other) || found;
      }
    }
    if (found) return;
    for (std::size_t i = 0; i < layout_.arrays.size(); ++i) {
      const ArrayRecord& record = layout_.arrays[i];
      if (!record.local_crc32 || *record.local_crc32 != evidence_.arrays[i].crc32) continue;
      add_at("spliced", {record.first_byte, record.end_byte()},
             "an array fits its local header, and the directory is another archive's: the file "
             "is made of two");
      return;
    }
  }

  bool report_splice(const Witness& other) {
    if (!other.chunks) return false;
    bool found = false;
    const std::uint64_t length = other.chunks->chunk_bytes;
    for (const Extent wrong : wrong_ranges()) {
      std::optional<Extent> piece;
      const auto end_piece = [&] {
        if (!piece) return;
        found = true;
        add_at("spliced", *piece,
               range_text(*piece) + " are those that " + printable(other.path) +
                   " promises: the file is made of two snapshots");
        piece.reset();
      };
      for (std::uint64_t i = wrong.first / length; i * length < wrong.end; ++i) {
        const Extent chunk = {i * length, std::min((i + 1) * length, refusal_.size_bytes)};
        if (i >= other.right_chunks.size() || !other.right_chunks[static_cast<std::size_t>(i)]) {
          end_piece();
        } else if (piece) {
          piece->end = chunk.end;
        } else {
          piece = chunk;
        }
      }
      end_piece();
    }
    return found;
  }

  void report_wrong_chunks(bool foreign) {
    const auto ranges = wrong_ranges();
    if (taken_ == nullptr || ranges.empty() || (foreign && !taken_->knows_any())) return;
    const std::uint64_t length = taken_->chunks->chunk_bytes;
    for (const Extent range : ranges) {
      const std::uint64_t first = range.first / length;
      const std::uint64_t last = (range.end - 1) / length;
      std::string text = first == last ? "chunk " + std::to_string(first) + " differs"
                                       : "chunks " + std::to_string(first) + " to " +
                                             std::to_string(last) + " differ";
      if (range.end == refusal_.size_bytes && range.first > 0 && first != last) {
        text += ", and so all that follows byte " + std::to_string(range.first);
      }
      add_at("chunks-differ", range, text);
    }
  }

  void report_zeros() {
    const auto wrong = wrong_ranges();
    for (const Extent zeros : evidence_.zeros) {
      if (are_suspect(zeros, wrong)) add_zeros(zeros);
    }
  }

  /// Zeros are honest in an array whose CRC-32 is right, and where nothing else is wrong.
  bool are_suspect(Extent zeros, const std::vector<Extent>& wrong) const {
    bool suspect = std::any_of(wrong.begin(), wrong.end(),
                               [&](Extent range) { return overlap(range, zeros); });
    bool within_one = false;
    for (std::size_t i = 0; i < layout_.arrays.size(); ++i) {
      const ArrayRecord& record = layout_.arrays[i];
      if (!overlap({record.first_byte, record.end_byte()}, zeros)) continue;
      within_one = zeros.first >= record.data_offset && zeros.end <= record.end_byte();
      const ArrayState state = damage_.arrays[i].state;
      const bool intact = state == ArrayState::proven || state == ArrayState::consistent;
      if (within_one && intact) return false;
      suspect = suspect || state == ArrayState::damaged || !record.problem.empty();
    }
    return suspect || (!within_one && !archive_is_whole());
  }

  void add_zeros(Extent zeros) {
    const off_t data = lseek(refusal_.npz, static_cast<off_t>(zeros.first), SEEK_DATA);
    const bool hole = data < 0 || static_cast<std::uint64_t>(data) >= zeros.end;
    add_at("zero-filled", zeros,
           count_of_bytes(zeros.end - zeros.first) + " are zeros" +
               (hole ? " that were never written (a hole of the file)" : ""));
  }

  /// What ZIP itself tells, for which no manifest is needed.
  void report_records() {
    if (!layout_.directory_problem.empty()) {
      std::string text = "the archive's directory cannot be read (" + layout_.directory_problem +
                         "); the arrays were found by ";
      text += layout_.source == LayoutSource::members   ? "the manifest's members"
              : layout_.source == LayoutSource::headers ? "their local headers"
                                                        : "nothing: no array was found";
      add({"directory", {}, {}, 0, text});
    }
    for (std::size_t i = 0; i < layout_.arrays.size(); ++i) {
      const ExaminedArray& array = damage_.arrays[i];
      if (array.state == ArrayState::damaged) {
        add({"array", array.bytes, {array.name}, 0, array.detail});
      } else if (!layout_.arrays[i].problem.empty()) {
        add({"record",
             {layout_.arrays[i].first_byte, layout_.arrays[i].data_offset},
             {array.name},
             0,
             layout_.arrays[i].problem});
      }
    }
  }

  void report_manifest() {
    if (!refusal_.error) return;
    const std::string& reason = refusal_.error->reason;
    const bool of_manifest = refusal_.error->code == ExitCode::refused &&
                             refusal_.manifest == nullptr && reason != "manifest-missing" &&
                             refusal_.error->subject == printable(refusal_.manifest_path);
    if (of_manifest) {
      add({"manifest",
           {},
           {},
           0,
           std::string("the manifest cannot be used; the npz is ") +
               (archive_is_whole() ? "whole by its own CRC-32s" : "not sound either")});
    } else if (reason == "digests-contradict" || reason == "members-mismatch") {
      add({"manifest",
           {},
           {},
           0,
           std::string("the manifest is wrong") +
               (archive_is_whole() ? "; the npz is whole by its own CRC-32s" : "")});
    }
  }

  void report_interrupted_writer() {
    if (neighbours_.next.empty()) return;
    const std::string path = printable(neighbours_.next);
    add({"interrupted-write",
         {},
         {},
         0,
         path + " was left by an interrupted writer" +
             (neighbours_.next_is_whole ? "" : ", and is torn itself")});
  }

  void report_nothing_found() {
    if (!damage_.findings.empty() || !refusal_.error) return;
    add({"not-located",
         {},
         {},
         0,
         archive_is_whole() ? "the npz is whole by its own CRC-32s; nothing tells where it is wrong"
                            : "nothing tells where the npz is wrong"});
  }

  const Refusal& refusal_;
  const ArchiveLayout& layout_;
  const Evidence& evidence_;
  const std::vector<Witness>& witnesses_;
  const Neighbours& neighbours_;
  Damage& damage_;
  /// The manifest that the snapshot was held against.
  const Witness* taken_;
};

}  // namespace

void report_damage(const Refusal& refusal, const ArchiveLayout& layout, const Evidence& evidence,
                   const std::vector<Witness>& witnesses, const Neighbours& neighbours,
                   Damage& damage) {
  DamageReport(refusal, layout, evidence, witnesses, neighbours, damage).write();
}

}  // namespace mad
