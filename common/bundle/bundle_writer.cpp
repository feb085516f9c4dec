#include "bundle/bundle_writer.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "io/fd.hpp"
#include "io/pipe.hpp"

namespace mad {
namespace {

constexpr std::size_t k_tar_block = 512;
/// Smaller portions are gathered into parts of this length.
constexpr std::size_t k_gather_bytes = std::size_t{256} << 10U;

using Block = std::array<std::byte, k_tar_block>;

void put_text(Block& block, std::size_t offset, std::string_view text) {
  std::memcpy(block.data() + offset, text.data(), text.size());
}

/// A number field: octal digits and a NUL (POSIX.1-2017, pax, ustar).
void put_octal(Block& block, std::size_t offset, std::size_t width, std::uint64_t value) {
  std::string digits(width - 1, '0');
  for (std::size_t i = digits.size(); i-- > 0; value >>= 3U) {
    digits[i] = static_cast<char>('0' + (value & 7U));
  }
  put_text(block, offset, digits);
}

constexpr char k_regular = '0';
constexpr char k_pax_records = 'x';
constexpr std::size_t k_name_bytes = 100;

/// Nothing of the machine goes into a header: the same members give the same bytes.
Block format_header(std::string_view name, std::uint64_t size_bytes, char type) {
  Block block{};
  put_text(block, 0, name.substr(0, k_name_bytes));
  put_octal(block, 100, 8, 0600);
  put_octal(block, 108, 8, 0);
  put_octal(block, 116, 8, 0);
  put_octal(block, 124, 12, size_bytes);
  put_octal(block, 136, 12, 0);
  put_text(block, 148, "        ");
  block[156] = static_cast<std::byte>(type);
  put_text(block, 257,
           std::string_view("ustar\0"
                            "00",
                            8));
  std::uint64_t sum = 0;
  for (const std::byte byte : block) sum += std::to_integer<unsigned>(byte);
  put_octal(block, 148, 7, sum);
  block[155] = std::byte{' '};
  return block;
}

/// `LENGTH path=NAME\n`, where LENGTH counts its own digits.
std::string format_path_record(std::string_view name) {
  const std::string rest = " path=" + std::string(name) + "\n";
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

bool needs_path_record(std::string_view name) {
  return name.size() > k_name_bytes ||
         std::any_of(name.begin(), name.end(), [](char c) { return c < 0; });
}

}  // namespace

struct BundleWriter::State {
  int fd = -1;
  std::string name;
  const std::string subject = "standard output";
  std::vector<std::byte> gathered;
  std::uint64_t next_part = 0;
  bool in_member = false;

  void put(Bytes bytes) const { write_full(fd, bytes, subject); }

  void put_zeros(std::uint64_t count) const {
    static constexpr Block k_zeros{};
    for (; count > 0; count -= std::min<std::uint64_t>(count, k_tar_block)) {
      put(Bytes(k_zeros).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(count, k_tar_block))));
    }
  }

  void put_padded(Bytes bytes) const {
    if (!bytes.empty()) put(bytes);
    put_zeros((k_tar_block - bytes.size() % k_tar_block) % k_tar_block);
  }

  void header(const std::string& member_name, std::uint64_t size_bytes) {
    in_member = true;
    if (needs_path_record(member_name)) {
      const std::string record = format_path_record(member_name);
      put(format_header("PaxHeader", record.size(), k_pax_records));
      put_padded(as_bytes(record));
    }
    std::string short_name = member_name.substr(0, k_name_bytes);
    std::replace_if(
        short_name.begin(), short_name.end(), [](char c) { return c < 0; }, '_');
    put(format_header(short_name, size_bytes, k_regular));
  }

  void member(const std::string& member_name, Bytes bytes) {
    header(member_name, bytes.size());
    put_padded(bytes);
    in_member = false;
  }

  std::string next_part_name() {
    std::string number = std::to_string(next_part++);
    number.insert(0, k_part_digits - std::min(k_part_digits, number.size()), '0');
    return name + std::string(k_parts_infix) + number;
  }

  void part(Bytes bytes) { member(next_part_name(), bytes); }

  void flush() {
    if (!gathered.empty()) part(gathered);
    gathered.clear();
  }
};

BundleWriter::BundleWriter(int fd, std::string name) : state_(std::make_unique<State>()) {
  state_->fd = fd;
  state_->name = std::move(name);
}

BundleWriter::~BundleWriter() = default;

void BundleWriter::manifest(std::string_view bytes) {
  state_->flush();
  state_->member(state_->name + std::string(k_manifest_member_suffix), as_bytes(bytes));
}

void BundleWriter::signature(std::string_view bytes) {
  state_->flush();
  state_->member(state_->name + std::string(k_signature_member_suffix), as_bytes(bytes));
}

void BundleWriter::write(Bytes bytes) {
  std::vector<std::byte>& gathered = state_->gathered;
  if (bytes.size() >= k_gather_bytes) {
    state_->flush();
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), k_piece_bytes))) {
      state_->part(bytes.first(std::min(bytes.size(), k_piece_bytes)));
    }
    return;
  }
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), k_gather_bytes - gathered.size());
    gathered.insert(gathered.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    if (gathered.size() == k_gather_bytes) state_->flush();
  }
}

std::uint64_t BundleWriter::write_file(int file, std::uint64_t offset, std::uint64_t length,
                                       const std::string& subject) {
  State& s = *state_;
  s.flush();
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t piece = std::min<std::uint64_t>(length - done, k_piece_bytes);
    s.header(s.next_part_name(), piece);
    const std::uint64_t had = write_from_file(s.fd, file, offset + done, piece, subject);
    done += had;
    const std::uint64_t padded = (piece + k_tar_block - 1) / k_tar_block * k_tar_block;
    s.put_zeros(padded - had);
    s.in_member = false;
    if (had < piece) break;
  }
  return done;
}

void BundleWriter::restart() {
  state_->gathered.clear();
  state_->next_part = 0;
  state_->member(std::string(k_restart_member), {});
}

void BundleWriter::seal(const Seal& seal) {
  if (state_->in_member) return;
  // What a failed seal follows is void anyway.
  if (!has_npz(seal.stage)) state_->gathered.clear();
  state_->flush();
  state_->member(std::string(k_seal_member), as_bytes(format_seal(seal)));
  static constexpr std::array<std::byte, 2 * k_tar_block> k_end_of_archive{};
  state_->put(k_end_of_archive);
}

const std::string& BundleWriter::name() const {
  return state_->name;
}

}  // namespace mad
