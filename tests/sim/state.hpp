#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace sim {

/// A state that cannot be gone on from, or a system call that failed.
struct StateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One array: `NODE/FIELD`, and the header that its `.npy` must have.
struct Field {
  std::string key;
  std::string descr;  ///< as in a `.npy` header: `'<f8'`
  std::size_t item_bytes;
  std::vector<std::size_t> shape;

  std::size_t data_bytes() const;
  /// `{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }`
  std::string header() const;
};

/// A whole state in one directory, its files mapped into memory.
class Buffer {
 public:
  /// Makes the directory anew, whatever was there.
  static Buffer create(const std::filesystem::path& directory, const std::vector<Field>& fields);
  /// Opens the state that is there; throws where any file is missing, is one too
  /// many, or is not what `fields` says.
  static Buffer open(const std::filesystem::path& directory, const std::vector<Field>& fields);

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  const std::filesystem::path& directory() const { return directory_; }
  std::span<std::byte> bytes(const std::string& key) const;
  template <class T>
  std::span<T> array(const std::string& key) const {
    const auto raw = bytes(key);
    return {reinterpret_cast<T*>(raw.data()), raw.size() / sizeof(T)};
  }

 private:
  struct Mapping {
    void* start;
    std::size_t length;
    std::size_t data_offset;
  };
  explicit Buffer(std::filesystem::path directory) : directory_(std::move(directory)) {}
  void unmap() noexcept;

  std::filesystem::path directory_;
  std::map<std::string, Mapping> mappings_;
};

/// The state under one name, `path`, that at every instant holds one whole step.
///
/// `path` is a symbolic link to `.NAME.a` or `.NAME.b` beside it; a step is written
/// into the directory that the link does not point to, and publish() turns the link
/// over by rename(2).  A plain directory, or a link to another place, is taken as a
/// first state and replaced by the link at the first publish().
class State {
 public:
  /// Nothing is there yet: makes `.NAME.a`, which publish() brings to light.
  static State create(const std::filesystem::path& path, const std::vector<Field>& fields);
  static State open(const std::filesystem::path& path, const std::vector<Field>& fields);

  const Buffer& current() const { return current_; }
  const Buffer& next() const { return next_; }
  /// What next() holds becomes the state; the old one is written over from then on.
  void publish();

 private:
  State(std::filesystem::path path, std::vector<Field> fields, Buffer current, Buffer next);

  std::filesystem::path path_;
  std::vector<Field> fields_;
  Buffer current_;
  Buffer next_;
};

/// The shape that stands in the header of a `.npy` on disk.
std::vector<std::size_t> shape_on_disk(const std::filesystem::path& file);

}  // namespace sim
