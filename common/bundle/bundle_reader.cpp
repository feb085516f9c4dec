#include "bundle/bundle_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "base/text.hpp"

namespace mad {
namespace {

constexpr std::size_t k_block_bytes = 512;
constexpr std::uint64_t k_end_of_archive_bytes = 2 * k_block_bytes;
/// tar pads to a record, 10 KiB by default; more than this is no padding.
constexpr std::uint64_t k_max_padding_bytes = std::uint64_t{1} << 20U;
constexpr std::size_t k_max_manifest_member_bytes = std::size_t{8} << 20U;
constexpr std::size_t k_buffer_bytes = std::size_t{64} << 10U;

struct ArchiveCloser {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

struct LocaleCloser {
  void operator()(locale_t locale) const { freelocale(locale); }
};
using Locale = std::unique_ptr<std::remove_pointer_t<locale_t>, LocaleCloser>;

/// libarchive converts pax names (UTF-8) to the thread's locale, and fails in "C".
class Utf8Scope {
 public:
  explicit Utf8Scope(const Locale& locale) {
    if (locale) old_ = uselocale(locale.get());
  }
  ~Utf8Scope() {
    if (old_ != nullptr) uselocale(old_);
  }
  Utf8Scope(const Utf8Scope&) = delete;
  Utf8Scope& operator=(const Utf8Scope&) = delete;

 private:
  locale_t old_ = nullptr;
};

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::uint64_t rounded_to_block(std::uint64_t offset) {
  return (offset + k_block_bytes - 1) / k_block_bytes * k_block_bytes;
}

/// The stream as libarchive takes it: no further than to the end of the block or member
/// that it is at, so that the data of parts is left to be read past it.
class Input {
 public:
  explicit Input(Source& source) : source_(source), buffer_(k_buffer_bytes) {}

  /// Empty at the end of the stream.
  Bytes next() {
    offset_ += length_;
    length_ = 0;
    const std::uint64_t end = std::max(read_up_to, rounded_to_block(offset_ + 1));
    const auto most =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), end - offset_));
    length_ = ended_ ? 0 : source_.read(MutableBytes(buffer_).first(most));
    ended_ = length_ == 0;
    if (watches_zeros) note_last_nonzero();
    return Bytes(buffer_).first(length_);
  }

  /// Reads past libarchive, which is told by skipped().
  std::size_t read_past(MutableBytes into) { return passed(source_.read(into)); }
  std::size_t read_past_into_file(int file, std::uint64_t offset, std::size_t most,
                                  const std::string& subject) {
    return passed(source_.read_into_file(file, offset, most, subject));
  }
  /// How many of the `wanted` bytes that libarchive skips were read past it.
  std::uint64_t skipped(std::uint64_t wanted) {
    const std::uint64_t n = std::min(wanted, past_);
    past_ -= n;
    return n;
  }

  bool ended() const { return ended_; }
  std::uint64_t total_bytes() const { return offset_ + length_; }

  /// Reads the rest of the stream.  Whether nothing but zeros lies from `offset` on,
  /// which is no earlier than this buffer unless zeros were watched.
  bool drain_zeros(std::uint64_t offset) {
    bool zeros = true;
    if (watches_zeros) {
      zeros = end_of_nonzero_ <= offset;
    } else if (offset < offset_) {
      return false;
    } else {
      zeros = all_zero(Bytes(buffer_).first(length_).subspan(offset - offset_));
    }
    read_up_to = total_bytes() + 2 * k_max_padding_bytes;
    while (zeros && !ended_ && total_bytes() - offset <= k_max_padding_bytes) {
      zeros = all_zero(next());
    }
    return zeros && ended_;
  }

  /// Where in the stream a member ends of which libarchive may read all.
  std::uint64_t read_up_to = 0;
  /// Set before the first read where the end of the archive is found by libarchive,
  /// which then has read past it already.
  bool watches_zeros = false;
  std::exception_ptr failure;

 private:
  std::size_t passed(std::size_t n) {
    offset_ += length_ + n;
    length_ = 0;
    past_ += n;
    ended_ = n == 0;
    return n;
  }

  void note_last_nonzero() {
    std::size_t n = length_;
    while (n > 0 && buffer_[n - 1] == std::byte{0}) --n;
    if (n > 0) end_of_nonzero_ = offset_ + n;
  }

  Source& source_;
  std::vector<std::byte> buffer_;
  std::uint64_t offset_ = 0;
  std::size_t length_ = 0;
  std::uint64_t past_ = 0;
  std::uint64_t end_of_nonzero_ = 0;
  bool ended_ = false;
};

la_int64_t skip_input(archive*, void* client, la_int64_t wanted) noexcept {
  auto& input = *static_cast<Input*>(client);
  return static_cast<la_int64_t>(input.skipped(static_cast<std::uint64_t>(wanted)));
}

la_ssize_t read_input(archive* handle, void* client, const void** buffer) noexcept {
  auto& input = *static_cast<Input*>(client);
  try {
    const Bytes bytes = input.next();
    *buffer = bytes.data();
    return static_cast<la_ssize_t>(bytes.size());
  } catch (...) {
    input.failure = std::current_exception();
    archive_set_error(handle, EIO, "the source failed");
    return -1;
  }
}

/// What a member's name says it is.
struct MemberName {
  BundleReader::Kind kind = BundleReader::Kind::data;
  std::string npz;  ///< of manifest, signature and data
  std::optional<std::uint64_t> part;
};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::optional<MemberName> parse_member_name(std::string_view name) {
  using Kind = BundleReader::Kind;
  const auto of = [](Kind kind, std::string_view npz) {
    return MemberName{kind, std::string(npz), std::nullopt};
  };
  if (name == k_seal_member) return of(Kind::seal, "");
  if (name == k_restart_member) return of(Kind::restart, "");
  for (const auto& [suffix, kind] : {std::pair(k_signature_member_suffix, Kind::signature),
                                     std::pair(k_manifest_member_suffix, Kind::manifest)}) {
    if (ends_with(name, suffix)) return of(kind, name.substr(0, name.size() - suffix.size()));
  }
  const auto parts = name.rfind(k_parts_infix);
  if (parts != std::string_view::npos) {
    const std::string_view digits = name.substr(parts + k_parts_infix.size());
    MemberName member = of(Kind::data, name.substr(0, parts));
    member.part = digits.size() == k_part_digits ? parse_decimal(digits) : std::nullopt;
    if (!member.part) return std::nullopt;
    return member;
  }
  return of(Kind::data, name);
}

}  // namespace

struct BundleReader::State {
  State(Source& source, SealNeed seal_need, std::string about)
      : need(seal_need), subject(std::move(about)), input(source) {
    input.watches_zeros = need == SealNeed::unsealed;
    // Reads files, which may be forbidden by the time that the stream is.
    locale.reset(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr));
  }

  Error defect(const std::string& what) const {
    return {ExitCode::refused, "bundle-invalid", subject, what};
  }
  Error incomplete(const char* reason, const std::string& what) const {
    return {ExitCode::incomplete, reason, subject, what};
  }
  Error cut() const {
    return incomplete("stream-cut", "the bundle is cut off after " +
                                        std::to_string(input.total_bytes()) +
                                        " bytes; the stage before was killed or failed");
  }

  void open();
  [[noreturn]] void fail_archive() const;
  Kind next();
  Kind next_member();
  void check_entry();
  Kind begin_data(const MemberName& member);
  void check_place(const MemberName& member);
  void read_text(std::size_t max_bytes);
  void begin_again();
  void finish_sealed();
  void finish_unsealed();
  void check_end();
  std::size_t took(std::size_t n);
  std::uint64_t left() const { return in_data ? entry_bytes - entry_read_bytes : 0; }

  /// The current part's bytes.
  class Part final : public Source {
   public:
    explicit Part(State& state) : state_(state) {}
    std::size_t read(MutableBytes into) override {
      if (state_.left() == 0) return 0;
      return state_.took(state_.input.read_past(into.first(most(into.size()))));
    }
    std::size_t read_into_file(int file, std::uint64_t offset, std::size_t wanted,
                               const std::string& about) override {
      if (state_.left() == 0) return 0;
      return state_.took(state_.input.read_past_into_file(file, offset, most(wanted), about));
    }

   private:
    std::size_t most(std::size_t wanted) const {
      return static_cast<std::size_t>(std::min<std::uint64_t>(wanted, state_.left()));
    }
    State& state_;
  };

  SealNeed need;
  std::string subject;
  Input input;
  std::unique_ptr<archive, ArchiveCloser> handle;
  Locale locale;

  archive_entry* entry = nullptr;
  std::string entry_name;
  std::uint64_t entry_bytes = 0;
  std::uint64_t entry_read_bytes = 0;
  /// Where the current member ends in the stream, without its padding.
  std::uint64_t entry_end = 0;
  bool in_data = false;
  bool done = false;

  std::string name;
  std::string text;
  Part part{*this};
  Seal seal;
  std::uint64_t npz_bytes = 0;
  std::uint64_t next_part = 0;
  bool has_manifest = false;
  bool has_signature = false;
  /// Nothing has come behind the manifest.
  bool is_at_manifest = false;
  /// A signature came behind data, so that no more may come.
  bool is_data_over = false;
  bool has_whole_npz = false;
};

void BundleReader::State::open() {
  handle.reset(archive_read_new());
  if (!handle) throw std::bad_alloc();
  // No filters: a compressed stream is refused, and nothing can unpack to a bomb.
  archive_read_support_format_tar(handle.get());
  const Utf8Scope utf8(locale);
  archive_read_set_read_callback(handle.get(), read_input);
  archive_read_set_skip_callback(handle.get(), skip_input);
  archive_read_set_callback_data(handle.get(), &input);
  if (archive_read_open1(handle.get()) != ARCHIVE_OK) fail_archive();
}

void BundleReader::State::fail_archive() const {
  if (input.failure) std::rethrow_exception(input.failure);
  if (input.total_bytes() == 0) {
    throw incomplete("no-bundle", "no bundle arrived, not one byte; the stage before did not run");
  }
  if (input.ended()) throw cut();
  const char* what = archive_error_string(handle.get());
  throw defect("expected a bundle (a pax tar stream), found something else: " +
               printable(what == nullptr ? "unreadable" : what));
}

BundleReader::Kind BundleReader::State::next() {
  if (done) throw std::logic_error("BundleReader: next() after the seal");
  if (!handle) open();
  const Utf8Scope utf8(locale);
  if (left() != 0) throw std::logic_error("BundleReader: next() before the end of a part");
  in_data = false;
  return next_member();
}

std::size_t BundleReader::State::took(std::size_t n) {
  if (n == 0) throw cut();
  entry_read_bytes += n;
  npz_bytes += n;
  return n;
}

BundleReader::Kind BundleReader::State::next_member() {
  const int status = archive_read_next_header(handle.get(), &entry);
  if (status == ARCHIVE_EOF) {
    if (need == SealNeed::sealed) {
      if (input.total_bytes() == 0) fail_archive();
      throw incomplete("no-seal", "the bundle ends without a seal after " +
                                      std::to_string(npz_bytes) +
                                      " bytes of the npz; the stage before was killed or failed");
    }
    finish_unsealed();
    return Kind::seal;
  }
  if (status != ARCHIVE_OK) fail_archive();
  check_entry();
  const auto member = parse_member_name(entry_name);
  if (!member) throw defect("unexpected member '" + printable(entry_name) + "'");
  const bool was_at_manifest = std::exchange(is_at_manifest, member->kind == Kind::manifest);
  switch (member->kind) {
    case Kind::data:
      return begin_data(*member);
    case Kind::manifest:
      check_place(*member);
      if (has_manifest) throw defect("a second manifest, '" + printable(entry_name) + "'");
      read_text(k_max_manifest_member_bytes);
      has_manifest = true;
      break;
    case Kind::signature:
      check_place(*member);
      if (has_signature || !has_manifest) {
        throw defect("the signature '" + printable(entry_name) + "' does not follow its manifest");
      }
      if (entry_bytes > k_max_signature_bytes) {
        throw Error(ExitCode::signature, "signature-invalid", entry_name,
                    "expected the bytes of a signature, found " + std::to_string(entry_bytes));
      }
      read_text(k_max_signature_bytes);
      has_signature = true;
      is_data_over = !was_at_manifest;
      break;
    case Kind::restart:
      if (entry_bytes != 0) throw defect("'.mad-restart' is not empty");
      begin_again();
      break;
    case Kind::seal:
      finish_sealed();
      break;
  }
  return member->kind;
}

void BundleReader::State::check_entry() {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) throw defect("a member without a readable name");
  entry_name = path;
  if (need == SealNeed::unsealed && entry_name.rfind("./", 0) == 0) entry_name.erase(0, 2);
  const bool plain =
      archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr &&
      archive_entry_symlink(entry) == nullptr && archive_entry_sparse_count(entry) == 0;
  if (!plain) {
    throw defect("expected regular files only, found another kind of member, '" +
                 printable(entry_name) + "'");
  }
  if (archive_entry_size_is_set(entry) == 0 || archive_entry_size(entry) < 0) {
    throw defect("member '" + printable(entry_name) + "' has no size");
  }
  entry_bytes = static_cast<std::uint64_t>(archive_entry_size(entry));
  entry_read_bytes = 0;
  const la_int64_t position = archive_filter_bytes(handle.get(), 0);
  if (position < 0 || entry_bytes > std::numeric_limits<std::uint64_t>::max() / 4) {
    throw defect("member '" + printable(entry_name) + "' has an impossible size");
  }
  entry_end = static_cast<std::uint64_t>(position) + entry_bytes;
}

void BundleReader::State::check_place(const MemberName& member) {
  if (bundle_name(member.npz) != member.npz) {
    throw defect("unexpected member '" + printable(entry_name) + "'");
  }
  if (!name.empty() && name != member.npz) {
    throw defect("member '" + printable(entry_name) + "' does not belong to '" + name + "'");
  }
  name = member.npz;
}

BundleReader::Kind BundleReader::State::begin_data(const MemberName& member) {
  const bool whole = !member.part;
  if (whole && need == SealNeed::sealed) {
    check_place(member);
    throw Error(ExitCode::refused, "bundle-invalid", subject,
                "expected parts of an npz, found '" + printable(entry_name) + "' in one piece",
                "'mad-verify --unsealed' reads a pair that was tarred by hand");
  }
  check_place(member);
  if (is_data_over) {
    throw defect("'" + printable(entry_name) +
                 "' follows a signature that does not stand directly behind its manifest");
  }
  if (has_whole_npz || (whole && next_part != 0)) {
    throw defect("a second npz, '" + printable(entry_name) + "'");
  }
  if (whole) {
    has_whole_npz = true;
  } else {
    if (*member.part != next_part) {
      throw defect("expected part " + std::to_string(next_part) + ", found part " +
                   std::to_string(*member.part));
    }
    if (entry_bytes == 0 || entry_bytes > k_piece_bytes) {
      throw defect("part " + std::to_string(*member.part) + ": expected 1 to " +
                   std::to_string(k_piece_bytes) + " bytes, found " + std::to_string(entry_bytes));
    }
    ++next_part;
  }
  if (entry_bytes == 0) return next_member();
  // libarchive was given no byte more than the header; where it holds some all the same,
  // or skipped some, this is a form of tar that no bundle has.
  if (entry_end - entry_bytes != input.total_bytes()) {
    throw defect("member '" + printable(entry_name) + "' is not plain data behind its header");
  }
  in_data = true;
  return Kind::data;
}

void BundleReader::State::read_text(std::size_t max_bytes) {
  if (entry_bytes > max_bytes) {
    throw defect("member '" + printable(entry_name) + "': expected at most " +
                 std::to_string(max_bytes) + " bytes, found " + std::to_string(entry_bytes));
  }
  input.read_up_to = rounded_to_block(entry_end);
  text.assign(entry_bytes, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const la_ssize_t n =
        archive_read_data(handle.get(), text.data() + filled, text.size() - filled);
    if (n < 0) fail_archive();
    if (n == 0) throw cut();
    filled += static_cast<std::size_t>(n);
  }
}

void BundleReader::State::begin_again() {
  npz_bytes = 0;
  next_part = 0;
  has_manifest = has_signature = has_whole_npz = is_data_over = false;
}

void BundleReader::State::check_end() {
  // The seal's bytes are taken, and libarchive reads no buffer ahead of need: what
  // follows lies in the input's present buffer or is still to come.
  if (!input.drain_zeros(entry_end)) {
    throw defect("expected nothing but padding after the last member, found other bytes");
  }
  if (input.total_bytes() < rounded_to_block(entry_end) + k_end_of_archive_bytes) throw cut();
}

void BundleReader::State::finish_sealed() {
  read_text(k_max_seal_bytes);
  seal = parse_seal(text, subject);
  check_end();
  if (has_npz(seal.stage) && seal.size_bytes != npz_bytes) {
    throw defect("the seal says " + std::to_string(*seal.size_bytes) + " bytes, but " +
                 std::to_string(npz_bytes) + " came");
  }
  done = true;
}

void BundleReader::State::finish_unsealed() {
  if (input.total_bytes() == 0) fail_archive();
  check_end();
  if (next_part == 0 && !has_whole_npz) {
    throw Error(ExitCode::not_found, "snapshot-missing", subject, "the archive holds no npz");
  }
  seal = Seal();
  seal.stage = Stage::created;
  seal.tool = "tar";
  seal.size_bytes = npz_bytes;
  done = true;
}

BundleReader::BundleReader(Source& source, SealNeed need, std::string subject)
    : state_(std::make_unique<State>(source, need, std::move(subject))) {}

BundleReader::~BundleReader() = default;

BundleReader::Kind BundleReader::next() {
  return state_->next();
}
const std::string& BundleReader::text() const {
  return state_->text;
}
Source& BundleReader::part() {
  return state_->part;
}
std::uint64_t BundleReader::part_bytes_left() const {
  return state_->left();
}
const Seal& BundleReader::seal() const {
  return state_->seal;
}
const std::string& BundleReader::name() const {
  return state_->name;
}
std::uint64_t BundleReader::npz_bytes() const {
  return state_->npz_bytes;
}

}  // namespace mad
