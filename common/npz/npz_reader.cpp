#include "npz/npz_reader.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "hash/crc32.hpp"
#include "npz/inflate.hpp"
#include "npz/npz_layout.hpp"

namespace mad {
namespace {

class MemberSource final : public Source {
 public:
  MemberSource(int archive, const NpzMember& member, const std::string& subject)
      : archive_(archive),
        subject_(member_subject(subject, member)),
        offset_(member.data_offset),
        packed_left_(member.compressed_bytes),
        left_(member.size_bytes),
        size_bytes_(member.size_bytes),
        expected_crc_(member.crc32) {
    if (member.method == NpzMethod::deflated) inflater_.emplace();
  }

  std::size_t read(MutableBytes into) override {
    const std::size_t n = inflater_ ? read_deflated(into) : read_stored(into);
    if (n == 0) {
      check_crc(expected_crc_, crc_, subject_);
    } else {
      crc_ = crc32(crc_, into.first(n));
    }
    return n;
  }

 private:
  [[noreturn]] void invalid(const std::string& what) const {
    throw Error(ExitCode::refused, "archive-invalid", subject_, what);
  }

  /// The archive's next bytes, of which there must be some.
  std::size_t fetch(MutableBytes into) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), packed_left_));
    const std::size_t got = pread_full(archive_, into.first(want), offset_, subject_);
    if (got < want) {
      invalid("expected " + std::to_string(packed_left_) + " more bytes of the archive, found " +
              std::to_string(got));
    }
    offset_ += got;
    packed_left_ -= got;
    return got;
  }

  std::size_t read_stored(MutableBytes into) {
    const std::size_t n = fetch(into);
    left_ -= n;
    return n;
  }

  std::size_t read_deflated(MutableBytes into) {
    constexpr std::size_t k_input_bytes = 65536;
    if (input_.empty()) input_.resize(k_input_bytes);
    while (!ended_) {
      if (pending_.empty() && packed_left_ > 0) {
        pending_ = Bytes(input_).first(fetch(MutableBytes(input_)));
      }
      const Inflater::Step step = inflater_->step(pending_, into, subject_);
      pending_ = pending_.subspan(step.consumed);
      ended_ = step.ended;
      if (step.produced > left_) {
        invalid("expected " + std::to_string(size_bytes_) +
                " bytes, found that it unpacks to more");
      }
      left_ -= step.produced;
      if (step.produced > 0) return step.produced;
      if (!ended_ && step.consumed == 0 && packed_left_ == 0) {
        invalid("expected a whole deflate stream, found that it is cut");
      }
    }
    if (left_ > 0) {
      invalid("expected " + std::to_string(size_bytes_) + " bytes, found that it unpacks to " +
              std::to_string(size_bytes_ - left_));
    }
    if (!pending_.empty() || packed_left_ > 0) {
      invalid("expected the deflate stream to end with the member, found " +
              std::to_string(pending_.size() + packed_left_) + " bytes after it");
    }
    return 0;
  }

  int archive_;
  std::string subject_;
  std::uint64_t offset_;
  std::uint64_t packed_left_;
  std::uint64_t left_;
  std::uint64_t size_bytes_;
  std::uint32_t expected_crc_;
  std::uint32_t crc_ = 0;
  std::optional<Inflater> inflater_;
  std::vector<std::byte> input_;
  Bytes pending_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Source> open_member(int archive, const NpzMember& member,
                                    const std::string& subject) {
  return std::make_unique<MemberSource>(archive, member, subject);
}

}  // namespace mad
