#include "state.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

namespace sim {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& what, const fs::path& path) {
  throw StateError(path.string() + ": cannot " + what + ": " + std::strerror(errno));
}

class File {
 public:
  File(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) fail("open", path);
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string format_shape(const std::vector<std::size_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// Magic, version 1.0, length and text, padded so that the data is aligned to 64.
std::string npy_preamble(const std::string& header) {
  constexpr std::size_t prefix = 10;
  std::size_t length = (prefix + header.size() + 1 + 63) / 64 * 64 - prefix;
  std::string text = std::string("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(length & 0xFFU);
  text += static_cast<char>(length >> 8U);
  text += header + std::string(length - header.size() - 1, ' ') + '\n';
  return text;
}

/// The header text of a `.npy` of version 1.0, without its padding.
std::pair<std::string, std::size_t> read_header(int fd, const fs::path& path) {
  std::array<unsigned char, 10> prefix{};
  if (::pread(fd, prefix.data(), prefix.size(), 0) != static_cast<ssize_t>(prefix.size()) ||
      std::memcmp(prefix.data(), "\x93NUMPY\x01\x00", 8) != 0) {
    throw StateError(path.string() + ": not a .npy of version 1.0");
  }
  std::string text(prefix[8] + 256U * prefix[9], '\0');
  if (::pread(fd, text.data(), text.size(), prefix.size()) != static_cast<ssize_t>(text.size())) {
    throw StateError(path.string() + ": the header is cut short");
  }
  const std::size_t data_offset = prefix.size() + text.size();
  text.erase(text.find_last_not_of(" \n") + 1);
  return {text, data_offset};
}

fs::path beside(const fs::path& path, const char* ending) {
  return path.parent_path() / ("." + path.filename().string() + ending);
}

/// Where the next step goes, given where the present one is.
fs::path other_directory(const fs::path& path, const fs::path& current) {
  const fs::path a = beside(path, ".a");
  return current.filename() == a.filename() ? beside(path, ".b") : a;
}

}  // namespace

std::size_t Field::data_bytes() const {
  return std::accumulate(shape.begin(), shape.end(), item_bytes, std::multiplies<>());
}

std::string Field::header() const {
  return "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + format_shape(shape) + ", }";
}

Buffer Buffer::create(const fs::path& directory, const std::vector<Field>& fields) {
  fs::remove_all(directory);
  Buffer buffer(directory);
  for (const Field& field : fields) {
    const fs::path path = directory / (field.key + ".npy");
    fs::create_directories(path.parent_path());
    const File file(path, O_RDWR | O_CREAT | O_EXCL);
    const std::string preamble = npy_preamble(field.header());
    const std::size_t length = preamble.size() + field.data_bytes();
    // Blocks for all of it now: a full disk is an error here, a SIGBUS later.
    if (const int code = ::posix_fallocate(file.get(), 0, static_cast<off_t>(length)); code != 0) {
      errno = code;
      fail("allocate", path);
    }
    void* start = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (start == MAP_FAILED) fail("map", path);
    std::memcpy(start, preamble.data(), preamble.size());
    buffer.mappings_[field.key] = {start, length, preamble.size()};
  }
  return buffer;
}

Buffer Buffer::open(const fs::path& directory, const std::vector<Field>& fields) {
  std::set<std::string> expected;
  for (const Field& field : fields) expected.insert(field.key + ".npy");
  for (auto entry = fs::recursive_directory_iterator(directory); entry != fs::end(entry); ++entry) {
    if (entry->path().filename().string().front() == '.') {
      entry.disable_recursion_pending();
      continue;
    }
    if (entry->is_directory()) continue;
    if (expected.count(fs::relative(entry->path(), directory).string()) == 0) {
      throw StateError(entry->path().string() + ": does not belong to this simulation");
    }
  }

  Buffer buffer(directory);
  for (const Field& field : fields) {
    const fs::path path = directory / (field.key + ".npy");
    const File file(path, O_RDWR);
    const auto [header, data_offset] = read_header(file.get(), path);
    if (header != field.header()) {
      throw StateError(path.string() + ": expected " + field.header() + ", found " + header);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) fail("stat", path);
    const std::size_t length = data_offset + field.data_bytes();
    if (static_cast<std::size_t>(status.st_size) != length) {
      throw StateError(path.string() + ": expected " + std::to_string(length) + " bytes, found " +
                       std::to_string(status.st_size));
    }
    void* start = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (start == MAP_FAILED) fail("map", path);
    buffer.mappings_[field.key] = {start, length, data_offset};
  }
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : directory_(std::move(other.directory_)), mappings_(std::exchange(other.mappings_, {})) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    unmap();
    directory_ = std::move(other.directory_);
    mappings_ = std::exchange(other.mappings_, {});
  }
  return *this;
}

Buffer::~Buffer() {
  unmap();
}

void Buffer::unmap() noexcept {
  for (const auto& [key, mapping] : mappings_) ::munmap(mapping.start, mapping.length);
  mappings_.clear();
}

std::span<std::byte> Buffer::bytes(const std::string& key) const {
  const Mapping& mapping = mappings_.at(key);
  return {static_cast<std::byte*>(mapping.start) + mapping.data_offset,
          mapping.length - mapping.data_offset};
}

State::State(fs::path path, std::vector<Field> fields, Buffer current, Buffer next)
    : path_(std::move(path)),
      fields_(std::move(fields)),
      current_(std::move(current)),
      next_(std::move(next)) {}

State State::create(const fs::path& path, const std::vector<Field>& fields) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  return {path, fields, Buffer::create(beside(path, ".b"), fields),
          Buffer::create(beside(path, ".a"), fields)};
}

State State::open(const fs::path& path, const std::vector<Field>& fields) {
  const fs::path resolved = fs::canonical(path);
  return {path, fields, Buffer::open(resolved, fields),
          Buffer::create(other_directory(path, resolved), fields)};
}

void State::publish() {
  const fs::path link = beside(path_, ".link");
  const fs::path target = next_.directory().filename();
  if (::symlink(target.c_str(), link.c_str()) != 0) {
    // Killed between two calls below, an earlier run left it, as a link or as the
    // plain directory that the link had replaced.
    if (errno == EEXIST) fs::remove_all(link);
    if (::symlink(target.c_str(), link.c_str()) != 0) fail("make", link);
  }
  if (::rename(link.c_str(), path_.c_str()) != 0) {
    if (errno != EISDIR) fail("turn over", path_);
    if (::renameat2(AT_FDCWD, link.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0) {
      fail("replace by a link", path_);
    }
    fs::remove_all(link);
  }

  const fs::path other = other_directory(path_, next_.directory());
  std::swap(current_, next_);
  if (next_.directory().filename() != other.filename()) next_ = Buffer::create(other, fields_);
}

std::vector<std::size_t> shape_on_disk(const fs::path& path) {
  const File file(path, O_RDONLY);
  const std::string header = read_header(file.get(), path).first;
  const std::size_t start = header.find("'shape': (");
  if (start == std::string::npos) throw StateError(path.string() + ": no shape in the header");
  std::vector<std::size_t> shape;
  for (std::size_t i = start + 10; i < header.size() && header[i] != ')';) {
    if (header[i] == ',' || header[i] == ' ') {
      ++i;
      continue;
    }
    std::size_t used = 0;
    try {
      shape.push_back(std::stoull(header.substr(i), &used));
    } catch (const std::logic_error&) {
      throw StateError(path.string() + ": no shape in the header: " + header);
    }
    i += used;
  }
  return shape;
}

}  // namespace sim
